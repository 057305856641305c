/** What is known of the speed of a task after some of its steps. */
export interface Pace {
  /** Units a second, or undefined before it can be known. */
  readonly perSecond: number | undefined;
  readonly remainingMs: number | undefined;
}

/** Samples older than this no longer say how fast the task is now. */
const windowMs = 15_000;

/** Measures how fast a task goes from its progress events: the rate over the last fifteen seconds. */
export class RateMeter {
  readonly #samples: { readonly atMs: number; readonly done: number }[] = [];

  update(atMs: number, done: number, total: number): Pace {
    this.#samples.push({ atMs, done });
    while (this.#samples.length > 2 && atMs - (this.#samples[1]?.atMs ?? atMs) > windowMs) this.#samples.shift();
    const first = this.#samples[0];
    if (!first || atMs <= first.atMs || done <= first.done) return { perSecond: undefined, remainingMs: undefined };
    const perMs = (done - first.done) / (atMs - first.atMs);
    return { perSecond: perMs * 1000, remainingMs: (total - done) / perMs };
  }
}
