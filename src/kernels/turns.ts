import { internalError } from '../errors.ts';

/**
 * Lets asynchronous additions to one accumulator happen one after another, in the order of the calls, so that sums do
 * not depend on timing; and refuses reads while some are still under way.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Runs `work` after everything that was given before, whether that succeeded or not. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** @throws internal error while additions are under way. */
  expectIdle(): void {
    if (this.#waiting > 0) throw internalError('an accumulator was read before its additions were awaited');
  }
}
