import type { NumericArray } from '../calibration/dataset.ts';
import type { Program, Value } from '../ir/graph.ts';

export interface SessionOptions {
  /** Intra-operator threads; default: all cores. */
  readonly threads?: number;
  /** Execution providers in order of preference ('cpu', 'webgpu', 'cuda', …); default cpu. */
  readonly providers?: readonly string[];
  /** Values to fetch beside the graph's own outputs (intermediate values become outputs of the session's copy). */
  readonly fetch?: readonly Value[];
  /** ORT graph optimisation; 'all' by default. 'none' keeps every intermediate value exactly as the graph computes it. */
  readonly optimization?: 'none' | 'basic' | 'extended' | 'all';
  readonly signal?: AbortSignal;
}

export type Feeds = ReadonlyMap<string, NumericArray>;

/** A program loaded into an inference engine. Close it: sessions hold native memory. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Runs once. Results are keyed by value name; `wanted` restricts them. */
  run(feeds: Feeds, wanted?: readonly string[]): Promise<Map<string, NumericArray>>;
  close(): Promise<void>;
}

/** Makes sessions; the one implementation is onnxruntime (execution/onnxruntime.ts). */
export interface Engine {
  readonly name: string;
  open(program: Program, options?: SessionOptions): Promise<Session>;
}
