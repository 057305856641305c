import { internalError } from '../errors.ts';
import { addon } from './addon.ts';
import { expectInteger, expectLength, expectSize } from './expect.ts';
import { callNative } from './job.ts';

/** Parameters of several tensors, one after the other, and their gradients tensor by tensor in the same order. */
interface StepBuffers {
  /** Changed in place. */
  readonly parameters: Float32Array;
  readonly gradients: readonly Float32Array[];
}

interface StepSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
  /** What gradients are multiplied with first: the factor of clipping. */
  readonly gradientScale: number;
}

export interface AdamwInput extends StepBuffers, StepSettings {
  /** Running means of gradients and of their squares; as long as the parameters, changed in place. */
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Number of this step, from 1. */
  readonly step: number;
}

const totalLength = (arrays: readonly Float32Array[]): number => arrays.reduce((sum, { length }) => sum + length, 0);

const expectBuffers = ({ parameters, gradients }: StepBuffers, states: readonly Float32Array[]): void => {
  const total = totalLength(gradients);
  expectLength('the parameter buffer', parameters, total);
  for (const state of states) expectLength('a state buffer', state, total);
};

/** AdamW (Loshchilov, Hutter 2019, algorithm 2): decoupled weight decay, bias correction. */
export const adamwStep = (input: AdamwInput): void => {
  const { parameters, gradients, first, second, ...settings } = input;
  expectBuffers(input, [first, second]);
  expectInteger('the number of the step', settings.step, 1, 2 ** 31 - 1);
  callNative(() => addon().adamwStep(parameters, [...gradients], first, second, settings));
};

export interface MomentumInput extends StepBuffers, StepSettings {
  /** As long as the parameters, changed in place. */
  readonly state: Float32Array;
  readonly momentum: number;
}

/** SignSGD with a running mean of gradients (Bernstein et al. 2018). */
export const signStep = (input: MomentumInput): void => {
  const { parameters, gradients, state, ...settings } = input;
  expectBuffers(input, [state]);
  callNative(() => addon().signStep(parameters, [...gradients], state, settings));
};

export interface MuonInput extends MomentumInput {
  /** Rows and columns of each tensor. */
  readonly shapes: readonly { readonly rows: number; readonly columns: number }[];
}

/** Muon (Jordan et al. 2024) with steps scaled to those of AdamW (Liu et al. 2025). */
export const muonStep = (input: MuonInput): void => {
  const { parameters, gradients, state, shapes, ...settings } = input;
  expectBuffers(input, [state]);
  expectLength('the list of shapes', shapes, gradients.length);
  callNative(() => addon().muonStep(parameters, [...gradients], state, [...shapes], settings));
};

/** Σ x² over all arrays in double precision; NaN or Infinity when an element is. */
export const sumOfSquares = (arrays: readonly Float32Array[]): number =>
  callNative(() => addon().sumOfSquares([...arrays]));

/** `total += part`. */
export const addInto = (total: Float32Array, part: Float32Array): void => {
  expectLength('the array to add', part, total.length);
  callNative(() => addon().addInto(total, part));
};

/** `average ← decay · average + (1 - decay) · values`. */
export const followAverage = (average: Float32Array, values: Float32Array, decay: number): void => {
  expectLength('the array to average', values, average.length);
  callNative(() => addon().followAverage(average, values, decay));
};

/** A grid over a matrix (rows, columns): `weight = (code - zero) · scale`. */
export interface FakeGrid {
  readonly rows: number;
  readonly columns: number;
  readonly groupSize: number;
  readonly bits: number;
  /** (rows, groups). */
  readonly scales: Float32Array;
  /** (rows, groups), or null for 2^(bits-1) everywhere. */
  readonly zeroPoints: Uint8Array | null;
}

const nativeGrid = (grid: FakeGrid, matrix: Float32Array) => {
  const { rows, columns, groupSize, bits, scales, zeroPoints } = grid;
  expectSize(rows, columns);
  expectInteger('the group size', groupSize, 1, 2 ** 32 - 1);
  expectInteger('the number of bits', bits, 1, 8);
  expectLength('the matrix', matrix, rows * columns);
  expectLength('scales', scales, rows * Math.ceil(columns / groupSize));
  if (zeroPoints && zeroPoints.length !== scales.length)
    throw internalError(`${zeroPoints.length} zero points for ${scales.length} scales`);
  return { rows, columns, groupSize, bits, scales, zeroPoints: zeroPoints ?? Uint8Array.of(2 ** (bits - 1)) };
};

/** The nearest codes of a matrix, one a byte, halves to even. */
export const fakeCodes = (weights: Float32Array, grid: FakeGrid): Uint8Array<ArrayBuffer> =>
  callNative(() => addon().fakeCodes(weights, nativeGrid(grid, weights)));

/** Writes what the grid makes of a matrix into `rounded`: `(code - zero) · scale` of the nearest codes. */
export const fakeRound = (weights: Float32Array, grid: FakeGrid, rounded: Float32Array): void => {
  expectLength('the rounded matrix', rounded, weights.length);
  callNative(() => addon().fakeRound(weights, nativeGrid(grid, weights), rounded));
};

/**
 * Straight-through gradients: `gradients` of the rounded matrix become those of the weights (zero beyond the ends of
 * the grid), and `scaleGradients` (rows, groups) those of the scales (LSQ, Esser et al. 2020, section 2.1).
 */
export const fakePullBack = (
  weights: Float32Array,
  grid: FakeGrid,
  gradients: Float32Array,
  scaleGradients: Float32Array,
): void => {
  expectLength('the gradient', gradients, weights.length);
  expectLength('the gradient of scales', scaleGradients, grid.scales.length);
  callNative(() => addon().fakePullBack(weights, nativeGrid(grid, weights), gradients, scaleGradients));
};
