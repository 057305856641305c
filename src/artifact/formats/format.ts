import type { z } from 'zod';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import type { WriteOptions, WrittenFile } from '../written-file.ts';
import type { Target } from './onnx/target/target.ts';
import type { WeightFacts } from './weight-facts.ts';

/** What a format has written into a folder. */
export interface FormatResult {
  readonly files: readonly WrittenFile[];
  /** The file to open the result by, as a path inside the folder; undefined when the result cannot be run. */
  readonly entry: string | undefined;
  /** How each weight stands in the files. */
  readonly weights: readonly WeightFacts[];
  readonly findings: readonly Finding[];
}

/** Precisions that a model can be made anew in. */
export const precisionNames = ['fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4', 'q4f16', 'q2', 'q2f16', 'bnb4'] as const;
export type PrecisionName = (typeof precisionNames)[number];

export interface FormatContext extends WriteOptions {
  /** Where the model is meant to run; undefined: wherever the newest onnxruntime is. */
  readonly target?: Target | undefined;
  /**
   * Makes the model in another precision, from the state before it was quantized. Absent outside of a run, where
   * models are written as they are.
   */
  readonly convert?: (to: PrecisionName) => Promise<{ readonly model: Model; readonly findings: readonly Finding[] }>;
}

/** A weight as a plan says that it will be packed. */
export interface PlannedWeight {
  readonly site: string;
  /** Operator that reads it. */
  readonly op: string;
  readonly rows: number;
  readonly columns: number;
  readonly bits: number;
  readonly groupSize: number;
}

/** One form in which a model can be written. */
export interface FormatCard<Options = unknown> {
  readonly name: string;
  readonly summary: string;
  /** Strict zod object; its output has no optional keys. */
  readonly options: z.ZodType<Options>;
  /** Layout that a decoder's graph must have; undefined when any will do. */
  readonly layout: 'generation' | undefined;
  /** What the form cannot carry of planned weights, told before anything runs; absent where it carries everything. */
  foresee?(weights: readonly PlannedWeight[], target: Target | undefined): readonly Finding[];
  /**
   * Writes into an existing folder; file names are the format's own. The model is not changed.
   * @throws unsupported when the model cannot be carried; resource errors.
   */
  write(model: Model, directory: string, options: Options, context: FormatContext): Promise<FormatResult>;
}
