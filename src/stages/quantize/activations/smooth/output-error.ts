import { matmul } from '../../../../kernels/index.ts';
import { channelView, decodeWeight, encodeWeight } from '../weight-codes.ts';
import { type InputRounding, roundedInputs } from './input-rounding.ts';
import type { InputSample } from './input-sample.ts';

/** A weight that reads the sampled input: (rows, channels). */
export interface ReadingWeight {
  readonly name: string;
  readonly matrix: Float32Array;
  readonly rows: number;
}

/** Products of one input, and how input and weights will be rounded. */
export interface OutputProblem {
  readonly sample: InputSample;
  readonly weights: readonly ReadingWeight[];
  readonly input: InputRounding;
  /** Codes of weights lie in ±limit. */
  readonly limit: number;
  readonly granularity: 'channel' | 'tensor';
  readonly signal: AbortSignal;
}

const outputsOf = (
  inputs: Float32Array,
  { matrix, rows }: ReadingWeight,
  { sample, signal }: OutputProblem,
): Promise<Float32Array> =>
  matmul({
    a: inputs,
    rows: sample.count,
    inner: sample.channels,
    b: matrix,
    columns: rows,
    transposeB: true,
    signal,
  });

/** A weight with its columns multiplied, rounded as it will be. */
const roundedWeight = (weight: ReadingWeight, divisors: Float32Array, problem: OutputProblem): ReadingWeight => {
  const { limit, granularity } = problem;
  const channels = divisors.length;
  const matrix = weight.matrix.map((value, index) => value * divisors[index % channels]!);
  const view = channelView([weight.rows, channels], 0);
  const codes = encodeWeight({ weights: matrix, view, limit, granularity, name: weight.name });
  return { ...weight, matrix: decodeWeight(codes, view) };
};

/**
 * What the error on outstanding rows counts beside that on all rows. Few rows have such elements, but other positions
 * look at these rows most (attention sinks): by their number alone they would be clipped away.
 */
const outstandingWeight = 0.25;

/** Σ (a - b)² / Σ b². */
const relativeNoise = (outputs: Float32Array, wanted: Float32Array): number => {
  let [noise, signal] = [0, 0];
  for (let at = 0; at < outputs.length; at++) {
    noise += (outputs[at]! - wanted[at]!) ** 2;
    signal += wanted[at]! ** 2;
  }
  return noise / (signal || 1);
};

/**
 * How far rounding moves the outputs of products when their input is divided and their columns are multiplied by the
 * divisors: noise over signal (power), the mean over the products. Give the exact outputs where they are known.
 */
export const outputError = async (
  problem: OutputProblem,
  divisors: Float32Array,
  exact: readonly Float32Array[],
): Promise<number> => {
  const inputs = roundedInputs(problem.sample, divisors, problem.input);
  let total = 0;
  for (const [index, weight] of problem.weights.entries()) {
    const outputs = await outputsOf(inputs, roundedWeight(weight, divisors, problem), problem);
    const wanted = exact[index]!;
    const border = problem.sample.drawn * weight.rows;
    total += relativeNoise(outputs.subarray(0, border), wanted.subarray(0, border));
    total += outstandingWeight * relativeNoise(outputs.subarray(border), wanted.subarray(border));
  }
  return total / problem.weights.length;
};

/** Outputs of all products without any rounding, each (count, rows). */
export const exactOutputs = async (problem: OutputProblem): Promise<Float32Array[]> => {
  const outputs: Float32Array[] = [];
  for (const weight of problem.weights) outputs.push(await outputsOf(problem.sample.rows, weight, problem));
  return outputs;
};
