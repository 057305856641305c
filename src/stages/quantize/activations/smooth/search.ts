import { type ChannelSizes, columnMaxima, type DivisorRule, divisorsOf } from './divisors.ts';
import type { InputSample } from './input-sample.ts';
import { exactOutputs, type OutputProblem, outputError } from './output-error.ts';

/** Divisors of an input and what they do to the error of the outputs (noise over signal, power). */
export interface ChosenDivisors {
  /** (channels), positive. */
  readonly divisors: Float32Array;
  /** 0: all divisors are one. */
  readonly strength: number;
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** 'auto': rule, sizes and strength of least output error; a number: SmoothQuant's rule with this strength. */
export type SmoothChoice = 'auto' | number;

const coarse = [0.25, 0.5, 0.75, 1];
const fine = 0.125;

const largestInputs = ({ extremes, channels }: InputSample): Float32Array =>
  Float32Array.from({ length: channels }, (_, channel) => Math.max(-extremes.low[channel]!, extremes.high[channel]!));

const largestWeights = ({ weights, sample }: OutputProblem): Float32Array =>
  weights
    .map(({ matrix }) => columnMaxima(matrix, sample.channels))
    .reduce((a, b) => a.map((value, channel) => Math.max(value, b[channel]!)));

/** Divisors but for their strength. */
interface Family {
  readonly sizes: ChannelSizes;
  readonly rule: DivisorRule;
}

const familiesOf = (problem: OutputProblem, classes: Int32Array): Family[] => {
  const sizes = { inputs: largestInputs(problem.sample), weights: largestWeights(problem), classes };
  return (['input', 'ratio'] as const).map((rule) => ({ sizes, rule }));
};

/**
 * The divisors with the least error of the outputs on the sample, rounding of inputs and weights included. Strength
 * zero, which divides by ones, is among what is tried: the error never grows.
 * @param classes (channels): see ChannelSizes.
 */
export const searchDivisors = async (problem: OutputProblem, classes: Int32Array): Promise<ChosenDivisors> => {
  const exact = await exactOutputs(problem);
  const ones = new Float32Array(problem.sample.channels).fill(1);
  const errorBefore = await outputError(problem, ones, exact);
  let best: ChosenDivisors = { divisors: ones, strength: 0, errorBefore, errorAfter: errorBefore };
  let family: Family | undefined;
  const attempt = async (tried: Family, strength: number): Promise<void> => {
    const divisors = divisorsOf(tried.sizes, tried.rule, strength);
    const errorAfter = await outputError(problem, divisors, exact);
    if (errorAfter >= best.errorAfter) return;
    best = { divisors, strength, errorBefore, errorAfter };
    family = tried;
  };
  for (const tried of familiesOf(problem, classes)) for (const strength of coarse) await attempt(tried, strength);
  const { strength } = best;
  if (family) for (const near of [strength - fine, strength + fine]) await attempt(family, near);
  return best;
};

/** The divisors of SmoothQuant's rule at one strength. */
export const divisorsAt = async (
  problem: OutputProblem,
  classes: Int32Array,
  strength: number,
): Promise<ChosenDivisors> => {
  const exact = await exactOutputs(problem);
  const sizes = { inputs: largestInputs(problem.sample), weights: largestWeights(problem), classes };
  const divisors = divisorsOf(sizes, 'ratio', strength);
  const ones = new Float32Array(divisors.length).fill(1);
  const errorBefore = await outputError(problem, ones, exact);
  return { divisors, strength, errorBefore, errorAfter: await outputError(problem, divisors, exact) };
};
