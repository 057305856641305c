import { CompressError } from './errors.ts';

const longestTimerMs = 2 ** 31 - 1;

/** The switch of a run: while it is off, no step of the work begins. What is under way is finished first. */
export class Pause {
  readonly #signal: AbortSignal;
  #waiting: Promise<void> | undefined;
  #goOn: () => void = () => {};
  /** Keeps the process alive while nothing else does. */
  #alive: NodeJS.Timeout | undefined;
  readonly #watchers = new Set<(paused: boolean) => void>();

  private constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.resume(), { once: true });
  }

  /** The one switch of all work that is given this signal. */
  static of(signal: AbortSignal): Pause {
    const known = switches.get(signal);
    if (known) return known;
    const made = new Pause(signal);
    switches.set(signal, made);
    return made;
  }

  get paused(): boolean {
    return this.#waiting !== undefined;
  }

  pause(): void {
    if (this.#waiting || this.#signal.aborted) return;
    this.#waiting = new Promise((resolve) => {
      this.#goOn = resolve;
    });
    this.#alive = setInterval(() => {}, longestTimerMs);
    this.#tell();
  }

  resume(): void {
    if (!this.#waiting) return;
    this.#waiting = undefined;
    clearInterval(this.#alive);
    this.#goOn();
    this.#tell();
  }

  /** Calls `watcher` whenever the switch is turned, until the returned function is called. */
  watch(watcher: (paused: boolean) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Settles when the work may go on. */
  async passed(): Promise<void> {
    while (this.#waiting) await this.#waiting;
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher(this.paused);
  }
}

/** A signal carries the wish to stop through all layers; the wish to wait travels with it. */
const switches = new WeakMap<AbortSignal, Pause>();

/**
 * A promise to wait for while the work of this signal is paused; undefined while it is not, so that nothing is delayed.
 * Asked before every run of a session and every native job. Rejects with 'interrupted' when the user asks to stop
 * meanwhile.
 */
export const whenResumed = (signal: AbortSignal | undefined): Promise<void> | undefined => {
  if (!signal) return undefined;
  const pause = switches.get(signal);
  return pause?.paused ? passedOrStopped(pause, signal) : undefined;
};

const passedOrStopped = async (pause: Pause, signal: AbortSignal): Promise<void> => {
  await pause.passed();
  if (signal.aborted) throw new CompressError({ code: 'interrupted', message: 'stopped on request' });
};
