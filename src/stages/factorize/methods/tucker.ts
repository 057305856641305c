import { matmul, svd } from '../../../kernels/index.ts';
import type { FactorInput } from './method.ts';
import { squareRoot } from './square-root.ts';

/** A convolution W (rows, channels · places) as three: channels first, then the filter, then the outputs. */
export interface TuckerFactors {
  /** (inner channels, channels): a pointwise convolution of the inputs. */
  readonly input: Float64Array;
  /** (inner rows, inner channels · places): a convolution with the filter's places. */
  readonly core: Float64Array;
  /** (rows, inner rows): a pointwise convolution to the outputs. */
  readonly output: Float64Array;
}

export interface TuckerRanks {
  readonly rows: number;
  readonly channels: number;
}

export interface TuckerInput extends FactorInput {
  /** columns = channels · places. */
  readonly channels: number;
}

export interface TuckerDecomposition {
  /** Both at most the rows and channels of the weight; exact at those. */
  factors(ranks: TuckerRanks): Promise<TuckerFactors>;
}

/** The mean over a filter's places of the channels' second moments: (channels, channels). */
export const channelMoment = (a: Float64Array, channels: number, places: number): Float64Array => {
  const columns = channels * places;
  const moment = new Float64Array(channels ** 2);
  for (let i = 0; i < channels; i++)
    for (let j = 0; j < channels; j++)
      for (let k = 0; k < places; k++)
        moment[i * channels + j]! += a[(i * places + k) * columns + j * places + k]! / places;
  return moment;
};

/** (rows, channels · places) as (channels, rows · places). */
const byChannel = (x: Float64Array, rows: number, channels: number, places: number): Float64Array => {
  const turned = new Float64Array(x.length);
  for (let row = 0; row < rows; row++)
    for (let channel = 0; channel < channels; channel++)
      for (let k = 0; k < places; k++)
        turned[(channel * rows + row) * places + k] = x[(row * channels + channel) * places + k]!;
  return turned;
};

/** The first columns of a matrix (rows, columns). */
const leading = (x: Float64Array, rows: number, columns: number, count: number): Float64Array => {
  const part = new Float64Array(rows * count);
  for (let row = 0; row < rows; row++) part.set(x.subarray(row * columns, row * columns + count), row * count);
  return part;
};

/**
 * Tucker-2 of a convolution (Kim et al. 2016, arXiv 1511.06530: ranks along outputs and inputs alone), by higher-order
 * singular values in the curvature's metric: outputs by B^½ and the unfolded inputs by A^½, channels by the mean moment
 * of a filter's places.
 */
export const decomposeTucker = async (input: TuckerInput): Promise<TuckerDecomposition> => {
  const { weight, rows, columns, channels, a, b, signal } = input;
  const places = columns / channels;
  const inputs = await squareRoot(a, columns, signal);
  const outputs = b && (await squareRoot(b, rows, signal));
  const scaled = outputs ? await matmul({ a: outputs.root, rows, inner: rows, b: weight, columns, signal }) : weight;
  const whitened = await matmul({ a: scaled, rows, inner: columns, b: inputs.root, columns, signal });
  const left = await svd(whitened, rows, columns, { signal });
  const mean = await squareRoot(channelMoment(a, channels, places), channels, signal);
  const unfolded = await matmul({
    a: mean.root,
    rows: channels,
    inner: channels,
    b: byChannel(scaled, rows, channels, places),
    columns: rows * places,
    signal,
  });
  const right = await svd(unfolded, channels, rows * places, { signal });
  const leftRank = Math.min(rows, columns);
  const rightRank = Math.min(channels, rows * places);
  return {
    factors: async (ranks) => {
      const u = leading(left.u, rows, leftRank, ranks.rows);
      const v = leading(right.u, channels, rightRank, ranks.channels);
      const output = outputs
        ? await matmul({ a: outputs.inverse, rows, inner: rows, b: u, columns: ranks.rows, signal })
        : u;
      const projected = await matmul({
        a: u,
        rows: ranks.rows,
        inner: rows,
        b: scaled,
        columns,
        transposeA: true,
        signal,
      });
      const mix = await matmul({
        a: mean.root,
        rows: channels,
        inner: channels,
        b: v,
        columns: ranks.channels,
        signal,
      });
      const mixed = await matmul({
        a: mix,
        rows: ranks.channels,
        inner: channels,
        b: byChannel(projected, ranks.rows, channels, places),
        columns: ranks.rows * places,
        transposeA: true,
        signal,
      });
      return {
        input: await matmul({
          a: v,
          rows: ranks.channels,
          inner: channels,
          b: mean.inverse,
          columns: channels,
          transposeA: true,
          signal,
        }),
        core: byChannel(mixed, ranks.channels, ranks.rows, places),
        output,
      };
    },
  };
};

/** The weight (rows, channels · places) that factors stand for. */
export const expandTucker = async (
  { input, core, output }: TuckerFactors,
  ranks: TuckerRanks,
  { rows, columns, channels, signal }: Pick<TuckerInput, 'rows' | 'columns' | 'channels' | 'signal'>,
): Promise<Float64Array> => {
  const places = columns / channels;
  const spread = await matmul({
    a: input,
    rows: channels,
    inner: ranks.channels,
    b: byChannel(core, ranks.rows, ranks.channels, places),
    columns: ranks.rows * places,
    transposeA: true,
    signal,
  });
  const inner = byChannel(spread, channels, ranks.rows, places);
  return matmul({ a: output, rows, inner: ranks.rows, b: inner, columns, signal });
};
