import type { z } from 'zod';
import type { Dataset } from '../calibration/dataset.ts';
import type { Engine } from '../execution/session.ts';
import type { Model } from '../ir/model.ts';
import type { Emit, Finding } from '../recipe/events.ts';

/** Bytes kept per key inside a running stage, so that a killed run goes on at the last finished block. */
export interface CheckpointStore {
  get(key: string): Uint8Array | undefined;
  put(key: string, bytes: Uint8Array): void;
}

/** A folder for spilled activations; removed when the stage ends, however it ends. */
export interface Scratch {
  readonly directory: string;
}

/** Models beside the one that a stage changes. */
export interface ModelSource {
  /** The recipe's model as it was opened. */
  readonly original: Model;
  /** Opens a model that `Stage.references` names, by the same path. */
  open(path: string): Promise<Model>;
  /** The folder of captured scores that a path of `Stage.references` names; undefined where it names a model. */
  captureAt?(path: string): string | undefined;
}

/** What a stage may use. It cannot reach recipe files, outputs, the clock or the terminal. */
export interface StageContext {
  readonly calibration: Dataset | undefined;
  /** Absent where a stage is run outside of a recipe. */
  readonly models?: ModelSource;
  readonly engine: Engine;
  /** Bytes that activations and statistics may take in memory before they spill to `scratch`. */
  readonly maxMemoryBytes: number;
  readonly threads: number;
  readonly seed: number;
  readonly checkpoints: CheckpointStore;
  /**
   * Statistics that outlive the stage, by content: keys name all that a part depends on. What stands before the first
   * '/' of a key names an entry that is kept or dropped as a whole; any part may be gone the next time.
   */
  readonly shared: CheckpointStore;
  readonly scratch: Scratch;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

export interface StageResult {
  readonly model: Model;
  readonly findings: readonly Finding[];
}

/** What a stage would do, found without reading a weight. */
export interface StagePlan {
  /** One row per site: name, what happens to it and why, predicted bytes before and after. */
  readonly sites: readonly SitePlan[];
  /** Predicted peak memory in bytes beyond the program itself. */
  readonly memoryBytes: number;
  readonly findings: readonly Finding[];
  /** What the next stage is to be planned on, where that differs in what plans can see (an allocation of widths). */
  readonly next?: Model;
}

export interface SitePlan {
  readonly site: string;
  readonly op: string;
  readonly rows: number;
  readonly columns: number;
  /** 'int4 g32 asymmetric gptq', or 'kept' with `reason`. */
  readonly action: string;
  readonly reason?: string;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** How the weight will be packed, where it will; once for a weight that several sites share. */
  readonly packing?: { readonly bits: number; readonly groupSize: number };
}

/** What a stage would lose for several budgets, predicted from the data. */
export interface StageForecast {
  /** What budgets are counted in, like 'bytes'. */
  readonly measure: string;
  /** By falling cost. */
  readonly points: readonly ForecastPoint[];
}

export interface ForecastPoint {
  /** Share of the measure that is left. */
  readonly share: number;
  readonly cost: number;
  /** Predicted nats an item. */
  readonly loss: number;
  /** Parts of the model changed by each kind of compression. */
  readonly kinds: Readonly<Record<string, number>>;
}

/** One compression stage: a function from a model to a model. Options are parsed strictly before anything runs. */
export interface Stage<Options> {
  readonly name: string;
  readonly summary: string;
  /** Strict zod object; keys are the recipe's, the output is normalised without optionals. */
  readonly options: z.ZodType<Options>;
  /** Whether it needs calibration data under these options. */
  needsCalibration(options: Options): boolean;
  /** It trains: its samples are those of `data.training` where the recipe gives some. */
  readonly trains?: boolean;
  /** Paths of other models that these options name; absent where a stage never looks at any. */
  references?(options: Options): readonly string[];
  plan(model: Model, options: Options): StagePlan;
  /** What budgets would buy, found on the calibration data without changing anything; absent where nothing is weighed. */
  forecast?(model: Model, options: Options, context: StageContext): Promise<StageForecast>;
  run(model: Model, options: Options, context: StageContext): Promise<StageResult>;
}
