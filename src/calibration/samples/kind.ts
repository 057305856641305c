import type { z } from 'zod';
import type { InputSignature } from '../../execution/signature.ts';
import type { Dataset } from '../dataset.ts';

/** What a dataset needs to know beside its own options. */
export interface DatasetContext {
  /** Relative paths of a specification start here (the recipe's folder). */
  readonly baseDirectory: string;
  /** Seed of the recipe: shuffles and random arrays are drawn from it. */
  readonly seed: number;
  /** Inputs of the model that the samples are for. */
  readonly modelInputs: readonly InputSignature[];
  /** tokenizer.json of the model, where it has one. */
  readonly tokenizerPath?: string | undefined;
  /** preprocessor_config.json of the model, where it has one. */
  readonly preprocessorPath?: string | undefined;
  /** Number of token ids that the model knows, where that is known. */
  readonly vocabulary?: number | undefined;
}

/** One kind of calibration or evaluation data: what a recipe may write, and how it is opened. */
export interface DatasetKind<Options = unknown> {
  /** The key of a specification that names the kind; its value is the path (null where there is none). */
  readonly name: string;
  readonly summary: string;
  /** Strict schema of the whole specification; its output is normalised. */
  readonly spec: z.ZodType<Options>;
  /** @throws CompressError 'not-found', 'malformed' or 'data' naming file and item. */
  open(options: Options, context: DatasetContext): Promise<Dataset>;
}
