import { CompressError, type ErrorCode } from '../errors.ts';
import { whenResumed } from '../pause.ts';
import { addon } from './addon.ts';
import type { NativeControl } from './native.ts';

/** How a caller stops long work and watches it. */
export interface JobOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the share of the work that is done, 0..1, a few times a second and once at the end with 1. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

const progressIntervalMs = 100;

const nativeCodes: readonly string[] = [
  'internal',
  'malformed',
  'numeric',
  'not-found',
  'resource',
  'interrupted',
] satisfies ErrorCode[];

/** The error of a kernel as one of ours: its message begins with the code in brackets. */
const fromNative = (error: unknown): unknown => {
  if (!(error instanceof Error) || error instanceof CompressError) return error;
  const [, code, message] = /^\[([a-z-]+)\] (.*)$/s.exec(error.message) ?? [];
  if (code === undefined || !nativeCodes.includes(code)) return error;
  return new CompressError({
    code: code as ErrorCode,
    message: message ?? '',
    ...(code === 'internal' ? { hint: 'This is a bug in modelpress: please report it.', cause: error } : {}),
  });
};

/** Calls a short kernel, with its errors as ours. */
export const callNative = <T>(call: () => T): T => {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
};

/** Runs a long kernel off the event loop. @throws 'interrupted' when the signal aborts before it is done. */
export const runJob = async <T>(options: JobOptions, start: (control: NativeControl) => Promise<T>): Promise<T> => {
  const { signal, onProgress } = options;
  const stopped = (): CompressError =>
    new CompressError({ code: 'interrupted', message: 'stopped on request', cause: signal?.reason });
  if (signal?.aborted) throw stopped();
  const resumed = whenResumed(signal);
  if (resumed) await resumed;
  const control = new (addon().Control)();
  const stop = (): void => control.stop();
  signal?.addEventListener('abort', stop, { once: true });
  const timer = onProgress && setInterval(() => onProgress(control.fraction), progressIntervalMs);
  try {
    const result = await start(control);
    onProgress?.(1);
    return result;
  } catch (error) {
    throw signal?.aborted ? stopped() : fromNative(error);
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
  }
};
