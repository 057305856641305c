import { performance } from 'node:perf_hooks';
import type { TimedEvent } from '../../recipe/events.ts';
import { RunView } from '../view/run-view.ts';

/** A run that changes while it is looked at, and the time that it has come to. */
export class LiveRun {
  readonly view = new RunView();
  #receivedMs = performance.now();

  apply(event: TimedEvent): void {
    this.view.apply(event);
    this.#receivedMs = performance.now();
  }

  /** Time of the run: that of its last event, and what has passed since. */
  get nowMs(): number {
    return this.view.finished ? this.view.atMs : this.view.atMs + (performance.now() - this.#receivedMs);
  }
}
