import type { Dataset, NumericArray, Sample } from '../calibration/dataset.ts';
import { CompressError, internalError } from '../errors.ts';
import { arrayFromBytes, bytesOfArray } from '../execution/arrays.ts';
import { type Binding, bindSample } from '../execution/feeds.ts';
import type { Feeds } from '../execution/session.ts';
import { byteLengthOf } from '../ir/data-type.ts';
import { elementCount } from '../ir/shape.ts';
import { Random } from '../random.ts';
import { type Rationale, rationaleWeights } from './rationale.ts';

/** A sample that takes one run. */
export type PlainSample = Exclude<Sample, { kind: 'sequence' }>;

/** What one sample tells a loss about its rows (positions of a window; one for a labelled array). */
export interface RowFacts {
  readonly labels: BigInt64Array;
  /** 1 where the row counts, else 0. */
  readonly weights: Float32Array;
}

/** A sample of a batch. */
export interface BatchSample {
  /** In the dataset. */
  readonly index: number;
  readonly sample: PlainSample;
  /** 'generated': the sample only begins as the one of the dataset does. */
  readonly origin: 'dataset' | 'generated';
}

/** Several samples fed at once. */
export interface Batch {
  readonly feeds: Feeds;
  readonly samples: readonly BatchSample[];
  /** Positions that every sample is padded to; 1 for samples that are no windows. */
  readonly length: number;
  /** Rows of all samples, sample after sample. */
  readonly rows: RowFacts;
  /** Positions of each sample without padding. */
  readonly lengths: readonly number[];
}

/** @throws 'data' for a sample that carries state from step to step. */
export const readSample = async (dataset: Dataset, index: number): Promise<PlainSample> => {
  const sample = await dataset.sample(index);
  if (sample.kind !== 'sequence') return sample;
  throw new CompressError({
    code: 'data',
    message: `sample ${index} of ${dataset.description} carries state from step to step, through which gradients are not taken`,
    hint: 'Train on independent windows (arrays).',
  });
};

/** Row i of a window predicts token i + 1. */
const rowsOfTokens = (ids: Int32Array, scored: Uint8Array, length: number, rationale?: Rationale): RowFacts => {
  const labels = new BigInt64Array(length);
  const weights = new Float32Array(length);
  const tokenWeights = rationale && rationaleWeights(ids, rationale);
  for (let position = 0; position + 1 < ids.length; position++) {
    labels[position] = BigInt(ids[position + 1]!);
    weights[position] = scored[position + 1] ? (tokenWeights?.[position + 1] ?? 1) : 0;
  }
  return { labels, weights };
};

const padded = (ids: Int32Array, length: number): Int32Array => {
  if (ids.length === length) return ids;
  const longer = new Int32Array(length);
  longer.set(ids);
  return longer;
};

/** Arrays alike but for their first axis, one after the other. */
const concatenate = (name: string, arrays: readonly NumericArray[]): NumericArray => {
  const [first] = arrays as readonly [NumericArray, ...NumericArray[]];
  if (arrays.length === 1) return first;
  const inner = first.shape.slice(1);
  for (const array of arrays)
    if (array.dtype !== first.dtype || array.shape.slice(1).join() !== inner.join() || array.shape.length === 0)
      throw new CompressError({
        code: 'data',
        message: `arrays of ${name} cannot be put into one batch: [${first.shape.join(', ')}] and [${array.shape.join(', ')}]`,
        hint: 'Use samples of one shape, or a batch of 1.',
      });
  const shape = [arrays.reduce((sum, array) => sum + array.shape[0]!, 0), ...inner];
  const bytes = new Uint8Array(byteLengthOf(first.dtype, elementCount(shape)));
  let at = 0;
  for (const array of arrays) {
    bytes.set(bytesOfArray(array), at);
    at += array.data.byteLength;
  }
  return arrayFromBytes(first.dtype, shape, bytes);
};

/** A mask whose padded positions are hidden. */
const hidden = (mask: NumericArray, length: number): NumericArray => {
  const copy = arrayFromBytes(mask.dtype, mask.shape, bytesOfArray(mask).slice());
  const zero = copy.data instanceof BigInt64Array || copy.data instanceof BigUint64Array ? 0n : 0;
  copy.data.fill(zero as never, length);
  return copy;
};

/**
 * Samples as one batch. Windows are padded at their end to the longest: padded positions are hidden where the model
 * takes an attention mask, and have no weight.
 * @param rationale weighs some tokens apart.
 * @throws 'data' or 'mismatch' naming the sample that does not fit the model or the others.
 */
export const collate = (
  samples: readonly BatchSample[],
  binding: Binding,
  description: string,
  rationale?: Rationale,
): Batch => {
  const longest = Math.max(1, ...samples.map(({ sample }) => (sample.kind === 'tokens' ? sample.ids.length : 1)));
  const lengths: number[] = [];
  const columns = new Map<string, NumericArray[]>();
  const facts = samples.map(({ index, sample }): RowFacts => {
    const item = `sample ${index} of ${description}`;
    const isTokens = sample.kind === 'tokens';
    const length = isTokens ? sample.ids.length : 1;
    lengths.push(length);
    const full = isTokens ? { ...sample, ids: padded(sample.ids, longest) } : sample;
    for (const [name, array] of bindSample(full, binding, item)) {
      const fed = name === 'attention_mask' && length < longest ? hidden(array, length) : array;
      columns.set(name, [...(columns.get(name) ?? []), fed]);
    }
    if (isTokens) return rowsOfTokens(sample.ids, sample.scored, longest, rationale);
    return { labels: BigInt64Array.of(BigInt(sample.label ?? 0)), weights: Float32Array.of(1) };
  });
  return {
    feeds: new Map([...columns].map(([name, arrays]) => [name, concatenate(name, arrays)])),
    samples,
    length: longest,
    lengths,
    rows: {
      labels: BigInt64Array.from(facts.flatMap(({ labels }) => [...labels])),
      weights: Float32Array.from(facts.flatMap(({ weights }) => [...weights])),
    },
  };
};

/** Which samples a step sees: every epoch is a new permutation, and all follows from the seed and the step. */
export class SampleOrder {
  readonly #indices: readonly number[];
  readonly #seed: number;
  readonly #orders = new Map<number, Int32Array>();

  /** @throws 'data' when there are fewer samples than a batch takes. */
  constructor(indices: readonly number[], seed: number) {
    if (indices.length === 0) throw internalError('there are no samples to order');
    this.#indices = indices;
    this.#seed = seed;
  }

  /** Samples `begin` to `end` of the endless stream of epochs. */
  take(begin: number, end: number): number[] {
    const { length } = this.#indices;
    return Array.from({ length: end - begin }, (_, offset) => {
      const position = begin + offset;
      const epoch = Math.floor(position / length);
      return this.#indices[this.#order(epoch)[position % length]!]!;
    });
  }

  #order(epoch: number): Int32Array {
    const known = this.#orders.get(epoch);
    if (known) return known;
    const order = new Random(this.#seed, `order of epoch ${epoch}`).permutation(this.#indices.length);
    if (this.#orders.size > 1) this.#orders.clear();
    this.#orders.set(epoch, order);
    return order;
  }
}

/** Fewer samples judge too coarsely, unless they would be more than a quarter of all. */
const leastHeld = 4;

/**
 * Splits samples into those to train on and those to judge by, drawn with the seed.
 * @param share of the samples that are held out; where it is above 0, at least four, or a quarter of few.
 * @throws 'data' when fewer than `batch` samples are left to train on.
 */
export const splitSamples = (
  dataset: Dataset,
  options: { readonly share: number; readonly batch: number; readonly seed: number },
): { readonly train: readonly number[]; readonly held: readonly number[] } => {
  const { share, batch, seed } = options;
  const { length } = dataset;
  const wanted = share === 0 ? 0 : Math.max(1, Math.round(length * share), Math.min(leastHeld, Math.floor(length / 4)));
  const order = [...new Random(seed, 'held-out samples').permutation(dataset.length)];
  const held = order.slice(0, wanted).sort((a, b) => a - b);
  const train = order.slice(wanted).sort((a, b) => a - b);
  if (train.length >= batch && train.length > 0) return { train, held };
  throw new CompressError({
    code: 'data',
    message: `${dataset.length} samples are too few for a batch of ${batch}${wanted > 0 ? ` with ${wanted} held out to judge by` : ''}`,
    hint: `Give more data, or a batch of ${Math.max(1, train.length)} or less.`,
  });
};
