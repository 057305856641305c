/**
 * Everything a run tells: typed facts, no prose layout. Reporters, `compress watch` and `events.ndjson` listen to
 * these and to nothing else. Times are milliseconds since the run began.
 */
export type Severity = 'info' | 'warning';

/** One before/after line of the report. */
export interface MetricResult {
  readonly metric: string;
  /** What it was measured on, as the recipe names it. */
  readonly dataset: string;
  readonly value: number;
  /** Half width of the 95 % confidence interval, where the metric is a mean over samples. */
  readonly interval?: number;
  /** 'bytes', 'ms', 'dB', 'nats'; 'fraction' for shares from 0 to 1, which people are shown in percent. */
  readonly unit?: string;
  /** Items averaged over (tokens, images, repetitions). */
  readonly count: number;
  /** 'lower' is better, 'higher' is better, or neither. */
  readonly better?: 'lower' | 'higher';
}

export type RunEvent =
  | {
      readonly type: 'run-started';
      readonly recipe: string;
      readonly version: string;
      readonly stages: readonly string[];
      readonly output: string;
      /** Names of the formats that will be written. */
      readonly formats: readonly string[];
      /** What the recipe allows for activations and statistics. */
      readonly maxMemoryBytes: number;
    }
  /** Memory that the process holds, told about once a second. */
  | { readonly type: 'resources'; readonly memoryBytes: number }
  /** The user has asked the run to wait, or to go on. */
  | { readonly type: 'paused' }
  | { readonly type: 'resumed' }
  | { readonly type: 'stage-started'; readonly index: number; readonly stage: string }
  | { readonly type: 'stage-cached'; readonly index: number; readonly stage: string; readonly key: string }
  | {
      readonly type: 'stage-finished';
      readonly index: number;
      readonly stage: string;
      readonly findings: readonly Finding[];
    }
  /** Work inside a stage, an evaluation or a write: `done` of `total` `unit`s; `item` is the one just finished. */
  | {
      readonly type: 'progress';
      readonly task: string;
      readonly done: number;
      readonly total: number;
      readonly unit: string;
      readonly item?: string;
    }
  /** One step of training: losses of the batch, before the step was taken. */
  | {
      readonly type: 'training-step';
      readonly stage: string;
      readonly step: number;
      readonly steps: number;
      readonly loss: number;
      readonly parts: Readonly<Record<string, number>>;
      readonly learningRate: number;
      /** Length of the gradient before clipping. */
      readonly gradientNorm: number;
      /** Tokens (samples that are no windows) seen so far. */
      readonly seen: number;
    }
  /** The held-out loss after a step. */
  | {
      readonly type: 'training-judged';
      readonly stage: string;
      readonly step: number;
      readonly steps: number;
      readonly value: number;
    }
  | {
      readonly type: 'site-finished';
      readonly stage: string;
      readonly site: string;
      readonly facts: Readonly<Record<string, number | string | boolean>>;
    }
  | { readonly type: 'metric'; readonly model: 'before'; readonly result: MetricResult }
  /** Measured on the written artifact of this format. */
  | { readonly type: 'metric'; readonly model: 'after'; readonly format: string; readonly result: MetricResult }
  | { readonly type: 'artifact-written'; readonly format: string; readonly path: string; readonly bytes: number }
  | {
      readonly type: 'gate';
      readonly gate: string;
      readonly dataset: string;
      readonly format: string;
      readonly passed: boolean;
      readonly found: number;
      readonly limit: number;
      readonly unit?: string;
      readonly where?: { readonly file: string; readonly line: number; readonly column: number };
    }
  | { readonly type: 'message'; readonly severity: Severity; readonly text: string; readonly site?: string }
  | {
      readonly type: 'run-finished';
      readonly outcome: 'done' | 'gate-failed' | 'interrupted' | 'failed';
      /** Greatest memory that the process has held so far, in bytes. */
      readonly peakMemoryBytes: number;
      readonly error?: string;
    };

/** An event as it is written to events.ndjson. */
export type TimedEvent = RunEvent & { readonly atMs: number };

export type Emit = (event: RunEvent) => void;

/**
 * Something a stage found out that the report must say. `fallback` findings (more damping, plain rounding, a site
 * left out) are errors under --strict.
 */
export interface Finding {
  readonly kind: 'fact' | 'warning' | 'fallback';
  readonly text: string;
  readonly site?: string;
  readonly facts?: Readonly<Record<string, number | string | boolean>>;
}
