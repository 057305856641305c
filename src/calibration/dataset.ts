import type { DataType } from '../ir/data-type.ts';

/** A dense array outside a graph: what sessions are fed with and return. Row-major. */
export interface NumericArray {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data:
    | Float32Array
    | Float64Array
    | Int8Array
    | Uint8Array
    | Int16Array
    | Uint16Array
    | Int32Array
    | Uint32Array
    | BigInt64Array
    | BigUint64Array;
}

/**
 * One item of calibration or evaluation data.
 * 'tokens': token ids of one window. `scored[i]` says whether the prediction *of* token i counts (token 0 never does).
 * 'arrays': named arrays, one entry per model input ('' for the only input of a model), with an optional class label.
 * 'sequence': steps fed one after the other; `carry` maps an output name to the input that receives it in the next step.
 */
export type Sample =
  | { readonly kind: 'tokens'; readonly ids: Int32Array; readonly scored: Uint8Array }
  | { readonly kind: 'arrays'; readonly arrays: ReadonlyMap<string, NumericArray>; readonly label?: number }
  | {
      readonly kind: 'sequence';
      readonly steps: readonly ReadonlyMap<string, NumericArray>[];
      readonly initial: ReadonlyMap<string, NumericArray>;
      readonly carry: ReadonlyMap<string, string>;
    };

/** Samples by index, always the same ones for the same options. */
export interface Dataset {
  /** As the recipe names it, for reports: 'text:…', 'images:…'. */
  readonly description: string;
  readonly length: number;
  /** BLAKE3 over the bytes and options that decide the samples: part of every cache key. */
  readonly fingerprint: string;
  sample(index: number): Promise<Sample>;
}

/** The first `length` samples of a dataset (all of them when it has fewer). */
export const takeSamples = (dataset: Dataset, length: number): Dataset => ({
  ...dataset,
  length: Math.min(length, dataset.length),
  fingerprint: `${dataset.fingerprint}:${length}`,
  sample: (index) => dataset.sample(index),
});
