import type { NumericArray } from '../calibration/dataset.ts';
import type { Program, Value } from '../ir/graph.ts';

export interface SessionOptions {
  /**
   * Intra-operator threads; default `sessionThreads`, a fixed number. Sums inside operators depend on how the work is
   * partitioned, so anything but the default gives results that differ in the last bits.
   */
  readonly threads?: number | undefined;
  /** Execution providers in order of preference ('cpu', 'webgpu', 'cuda', …); default cpu. */
  readonly providers?: readonly string[] | undefined;
  /** Values to fetch beside the graph's own outputs (intermediate values become outputs of the session's copy). */
  readonly fetch?: readonly Value[] | undefined;
  /** ORT graph optimisation; 'all' by default. 'none' keeps every intermediate value exactly as the graph computes it. */
  readonly optimization?: 'none' | 'basic' | 'extended' | 'all' | undefined;
  /**
   * 'planned' (default): from the second run with the same shapes on, activations lie in one block laid out beforehand.
   * 'lean': they do not, which takes up to half the memory where many are alive at once, as on the way back.
   */
  readonly memory?: 'planned' | 'lean' | undefined;
  /** Folder for models that are too large to be handed over in memory; default the system's. */
  readonly scratchDirectory?: string | undefined;
  /** What the program was opened from, for messages. */
  readonly origin?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Threads of a session unless told otherwise, whatever the machine has. With a fixed partition of the work the same
 * inputs give the same bits on one core and on many.
 */
export const sessionThreads = 4;

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

/** Opens a session, uses it and closes it, however the use ends. */
export const withSession = async <Result>(
  engine: Engine,
  program: Program,
  options: SessionOptions,
  use: (session: Session) => Promise<Result>,
): Promise<Result> => {
  const session = await engine.open(program, options);
  try {
    return await use(session);
  } finally {
    await session.close();
  }
};
