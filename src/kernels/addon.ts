import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { CompressError } from '../errors.ts';
import type { NativeAddon } from './native.ts';

/** Version of the addon's functions that this facade is written for. */
const interfaceVersion = 2;
const location = new URL('../../native/modelpress.node', import.meta.url);

let loaded: NativeAddon | undefined;

/** The native addon, loaded at the first call. @throws 'unsupported' with what to type when it cannot be loaded. */
export const addon = (): NativeAddon => {
  loaded ??= load(fileURLToPath(location));
  return loaded;
};

/** Loads and checks an addon file. */
export const load = (path: string): NativeAddon => {
  const hint = 'Run `npm run build`: it needs a Rust toolchain and says how to install one.';
  const refuse = (message: string, cause?: unknown): CompressError =>
    new CompressError({ code: 'unsupported', message, where: { file: path }, hint, ...(cause ? { cause } : {}) });
  if (!existsSync(path)) throw refuse('the native addon is not built');
  let found: Partial<NativeAddon>;
  try {
    found = createRequire(import.meta.url)(path) as Partial<NativeAddon>;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw refuse(`the native addon does not load on ${process.platform}-${process.arch}: ${reason}`, cause);
  }
  const version = found.interfaceVersion?.();
  if (version !== interfaceVersion)
    throw refuse(
      `the native addon was built from other sources (interface ${version ?? 'unknown'}, expected ${interfaceVersion})`,
    );
  return found as NativeAddon;
};

/** Sets the number of threads of all kernels; 0 for one per core. Results do not depend on it. */
export const setThreads = (threads: number): void => {
  if (!Number.isInteger(threads) || threads < 0 || threads > 1024)
    throw new CompressError({ code: 'usage', message: `${threads} is no number of threads`, hint: 'Use 0 to 1024.' });
  addon().setThreads(threads);
};

/** The number of threads that kernels run in. */
export const threadCount = (): number => addon().threadCount();
