import type { RunEvent } from '../../recipe/events.ts';
import { siteError } from '../../report/site-error.ts';

/** Most values of a series that are kept; beyond it every second one is dropped. */
const mostValues = 2048;

/** The numbers of the present stage that are drawn as a line: losses of training, else errors of sites. */
export class Series {
  name = '';
  readonly values: number[] = [];
  #stride = 1;
  #skipped = 0;

  clear(): void {
    this.name = '';
    this.values.length = 0;
    this.#stride = 1;
    this.#skipped = 0;
  }

  add(event: Extract<RunEvent, { type: 'training-step' | 'site-finished' }>): void {
    if (event.type === 'training-step') this.#put('loss', event.loss);
    else {
      const error = siteError(event.facts);
      if (error && this.name !== 'loss') this.#put(error.name, error.value);
    }
  }

  #put(name: string, value: number): void {
    if (name !== this.name) this.clear();
    this.name = name;
    this.#skipped += 1;
    if (this.#skipped < this.#stride) return;
    this.#skipped = 0;
    this.values.push(value);
    if (this.values.length <= mostValues) return;
    const kept = this.values.filter((_, index) => index % 2 === 0);
    this.values.length = 0;
    this.values.push(...kept);
    this.#stride *= 2;
  }
}
