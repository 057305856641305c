import { CompressError } from '../errors.ts';
import type { Program } from '../ir/graph.ts';
import type { Tensor } from '../ir/tensor.ts';

/** A parsed JSON object, such as config.json. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Named tensors of a checkpoint. `get` reads no weight: the tensors it gives are lazy. */
export interface TensorSource {
  readonly names: readonly string[];
  /** The checkpoint's folder, or its safetensors or index file; for messages. */
  readonly origin?: string;
  has(name: string): boolean;
  /** @throws 'not-found' for a name that is not among `names`. */
  get(name: string): Tensor;
  /**
   * In place of `get` where tensors are not stored but made: one of this shape.
   * @param neutral what a gain that changes nothing is stored as.
   */
  make?(name: string, shape: readonly number[], neutral: 0 | 1): Tensor;
}

/**
 * What a decoder's graph takes and gives. 'scoring': input_ids → logits of every position. 'generation': one step of
 * decoding with the keys and values of earlier positions as inputs and outputs. Encoders have one layout.
 */
type Layout = 'scoring' | 'generation';

export interface BuildOptions {
  readonly layout: Layout;
  /** Version of the standard operator set, 18 to 24. */
  readonly opset: number;
  /** Whether to use onnxruntime's fused operators (SimplifiedLayerNormalization, GroupQueryAttention, MultiHeadAttention). */
  readonly fused: boolean;
  /** Element type of weights and activations, whatever the checkpoint stores. Rotations and norms stay in float32. */
  readonly dtype: 'float32' | 'float16';
  /** Whether an encoder without a task head also gives `pooler_output`; otherwise its pooler is left out. */
  readonly pooler: boolean;
}

/** An architecture family: builds the graph of a checkpoint from its configuration, without tracing. */
export interface Family {
  readonly name: string;
  readonly summary: string;
  /** Values of `model_type` in config.json. */
  readonly modelTypes: readonly string[];
  /**
   * The checkpoint's graph. Reads no weight. Names of sites are the checkpoint's module paths; roles and blocks are
   * node metadata; weights that the graph has no use for are listed by `unusedTensors`.
   * @throws 'malformed' for missing or wrong configuration keys, 'unsupported' for features that the graph cannot
   * express, 'not-found' and 'mismatch' for missing and ill-shaped tensors; all problems of a kind together.
   */
  build(config: JsonObject, weights: TensorSource, options: BuildOptions): Program;
}

/** Oldest and newest operator set that the graphs can be built for. */
export const opsetRange = { oldest: 18, newest: 24 } as const;

/** Fills in what is not said: scoring layout, opset 21, standard operators, float32, no pooler. @throws 'usage' for another opset. */
export const normaliseBuildOptions = (options: Partial<BuildOptions> = {}): BuildOptions => {
  const full: BuildOptions = {
    layout: 'scoring',
    opset: 21,
    fused: false,
    dtype: 'float32',
    pooler: false,
    ...options,
  };
  if (!Number.isInteger(full.opset) || full.opset < opsetRange.oldest || full.opset > opsetRange.newest)
    throw new CompressError({
      code: 'usage',
      message: `graphs are built for operator sets ${opsetRange.oldest} to ${opsetRange.newest}, not ${full.opset}`,
      where: { key: 'opset' },
    });
  return full;
};

const unusedKey = 'modelpress.unused_tensors';

/** Names of the checkpoint's tensors that the program built from it does not use, buffers aside. */
export const unusedTensors = (program: Program): string[] => {
  const text = program.metadata.get(unusedKey);
  return text ? text.split('\n') : [];
};

/** Notes on the program which tensors of the checkpoint it does not use. */
export const noteUnusedTensors = (program: Program, names: readonly string[]): void => {
  if (names.length > 0) program.metadata.set(unusedKey, names.join('\n'));
};
