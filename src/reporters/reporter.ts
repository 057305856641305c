import type { TimedEvent } from '../recipe/events.ts';
import type { Style } from './style.ts';

/** The streams of a terminal that can be drawn on and whose keys can be read. */
export interface Terminal {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
}

/** Where a reporter writes: one stream and what it can show. */
export interface ReporterTarget {
  write(text: string): void;
  /** A terminal whose last line can be written over. */
  readonly live: boolean;
  readonly columns: number;
  readonly style: Style;
  /** Where the stream is a terminal that a person looks at. */
  readonly terminal?: Terminal;
}

/** What a person who looks at a run can ask of it. */
export interface RunControl {
  pause(): void;
  resume(): void;
  /** Keeps what is finished and ends; the second call ends at once. */
  stop(): void;
}

/** Tells someone about a run. It only listens: nothing it does changes what the run makes. */
export interface Reporter {
  listener(event: TimedEvent): void;
  /** Told what ended the run where something was thrown, also before it began. */
  failed?(error: unknown): void;
  /** Called once when the run has ended, however it ended. */
  close(): void | Promise<void>;
}

/** What a reporter may use beside its stream. */
export interface ReporterOptions {
  /** Absent where the run is only looked at, or has ended. */
  readonly control?: RunControl;
  /** The file that was asked for; undefined where the reporter writes to the terminal. */
  readonly path?: string;
  /** Writes lines that a machine reads off the output of the command. */
  readonly annotate: (line: string) => void;
  /** Told when a person leaves a run that is only looked at. */
  readonly leave?: () => void;
}

export interface ReporterCard {
  readonly name: string;
  readonly summary: string;
  /** Shows the run on the terminal as it goes; the others write when it has ended. */
  readonly screen: boolean;
  readonly open: (target: ReporterTarget, options: ReporterOptions) => Reporter | Promise<Reporter>;
}
