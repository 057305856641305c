import type { TimedEvent } from '../recipe/events.ts';
import type { Style } from './style.ts';

/** Where a reporter writes: one stream and what it can show. */
export interface ReporterTarget {
  write(text: string): void;
  /** A terminal whose last line can be written over. */
  readonly live: boolean;
  readonly columns: number;
  readonly style: Style;
}

/** Tells someone about a run. It only listens: nothing a reporter does changes the run. */
export interface Reporter {
  listener(event: TimedEvent): void;
  /** Called once when the run has ended, however it ended. */
  close(): void;
}

export interface ReporterCard {
  readonly name: string;
  readonly summary: string;
  readonly open: (target: ReporterTarget) => Reporter;
}
