import { PackedTensor } from '../../ir/packed-tensor.ts';
import { type FakeGrid, fakeCodes, fakePullBack, fakeRound, packRows } from '../../kernels/index.ts';
import type { ParameterSpec } from '../parameters.ts';
import type { LeafArrangement } from './weight.ts';

/** 'learned': they get gradients. 'fixed': they stay as they are. */
export type GridTraining = 'learned' | 'fixed';

export interface GridOptions {
  /** Learned as in LSQ (Esser et al. 2020). */
  readonly scales: GridTraining;
  /** Learned as in LSQ+ (Bhalgat et al. 2020); grids without zero points have none to learn. */
  readonly zeros: GridTraining;
}

/** Factors of the scales of a quantized weight, (rows, groups), near one. */
export const scaleFactors = (name: string, { facts: { rows }, groups }: PackedTensor): ParameterSpec => ({
  name: `${name}#scales`,
  shape: [rows, groups],
  group: 'scale',
  initial: new Float32Array(rows * groups).fill(1),
});

/**
 * The grid of a quantized weight in training. Scales are trained as factors near one (`scale = initial · factor`), so
 * that a step of the optimizer is relative to each scale's size; zero points are trained as real numbers and rounded
 * wherever they are used. Gradients of both are divided by √(weights in a group · greatest code) (LSQ, section 2.2).
 */
export class TrainedGrid {
  /** Parameters of the grid: factors of scales, zero points, as far as they are learned. */
  readonly parameters: readonly ParameterSpec[];
  readonly #packed: PackedTensor;
  readonly #options: GridOptions;
  readonly #grid: FakeGrid & { readonly scales: Float32Array; readonly zeroPoints: Uint8Array | null };
  readonly #scaleGradients: Float32Array;
  readonly #damping: number;

  constructor(name: string, packed: PackedTensor, options: GridOptions) {
    const { rows, columns, groupSize, bits, scales, zeroPoints } = packed.facts;
    const shape = [rows, packed.groups];
    this.#packed = packed;
    this.#options = { ...options, zeros: zeroPoints ? options.zeros : 'fixed' };
    this.#grid = {
      rows,
      columns,
      groupSize,
      bits,
      scales: Float32Array.from(scales),
      zeroPoints: zeroPoints && Uint8Array.from(zeroPoints),
    };
    this.#scaleGradients = new Float32Array(scales.length);
    this.#damping = 1 / Math.sqrt(groupSize * this.#greatest);
    const factors = scaleFactors(name, packed);
    const zeros: ParameterSpec = {
      name: `${name}#zeros`,
      shape,
      group: 'scale',
      initial: Float32Array.from(zeroPoints ?? []),
      // Relative steps are shares of a code.
      unit: 1,
    };
    this.parameters = [
      ...(this.#options.scales === 'learned' ? [factors] : []),
      ...(this.#options.zeros === 'learned' ? [zeros] : []),
    ];
  }

  get #greatest(): number {
    return 2 ** this.#packed.facts.bits - 1;
  }

  /** Sets the grid by these values, in the order of `parameters`. */
  set(values: readonly Float32Array[]): void {
    const [factors, zeros] = this.#split(values);
    const { scales, zeroPoints } = this.#grid;
    const initial = this.#packed.facts.scales;
    if (factors) for (let index = 0; index < scales.length; index++) scales[index] = initial[index]! * factors[index]!;
    if (zeros && zeroPoints)
      for (let index = 0; index < zeroPoints.length; index++)
        zeroPoints[index] = Math.min(this.#greatest, Math.max(0, Math.round(zeros[index]!)));
  }

  /** Rounds a matrix (rows, columns). */
  round(weights: Float32Array, rounded: Float32Array): void {
    fakeRound(weights, this.#grid, rounded);
  }

  /**
   * `gradient` of the rounded matrix becomes that of the weights (straight-through: zero beyond the ends of the grid).
   * Gives the gradients of `parameters`.
   */
  pullBack(weights: Float32Array, gradient: Float32Array): Float32Array[] {
    const learnsZeros = this.#options.zeros === 'learned';
    const before = learnsZeros ? this.#groupSums(gradient) : undefined;
    fakePullBack(weights, this.#grid, gradient, this.#scaleGradients);
    const found: Float32Array[] = [];
    const initial = this.#packed.facts.scales;
    if (this.#options.scales === 'learned')
      found.push(this.#scaleGradients.map((sum, index) => sum * initial[index]! * this.#damping));
    if (before) {
      // Within the grid a zero point cancels out; beyond its ends w = (end - zero)·scale.
      const within = this.#groupSums(gradient);
      found.push(before.map((sum, index) => -(sum - within[index]!) * this.#grid.scales[index]! * this.#damping));
    }
    return found;
  }

  /** The integers that a matrix rounds to, with the present grid. */
  pack(weights: Float32Array, method: string): PackedTensor {
    const { facts } = this.#packed;
    const { rows, columns, scales, zeroPoints } = this.#grid;
    const codes = packRows({ codes: fakeCodes(weights, this.#grid), rows, columns, bits: facts.storedBits });
    return new PackedTensor({
      ...facts,
      codes,
      scales: scales.slice(),
      zeroPoints: zeroPoints === null ? null : zeroPoints.slice(),
      method: `${facts.method}+${method}`,
    });
  }

  #split(values: readonly Float32Array[]): [factors: Float32Array | undefined, zeros: Float32Array | undefined] {
    const { scales, zeros } = this.#options;
    return [
      scales === 'learned' ? values[0] : undefined,
      zeros === 'learned' ? values[scales === 'learned' ? 1 : 0] : undefined,
    ];
  }

  /** Sums over the columns of each group: (rows, groups). */
  #groupSums(matrix: Float32Array): Float32Array {
    const { rows, columns, groupSize } = this.#grid;
    const { groups } = this.#packed;
    const sums = new Float32Array(rows * groups);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        sums[row * groups + Math.floor(column / groupSize)]! += matrix[row * columns + column]!;
    return sums;
  }
}

/** How the matrix (rows, columns) of a quantized weight becomes the graph's constant. */
export const arrangementOf = ({ facts }: PackedTensor): LeafArrangement =>
  facts.layout === 'rows-first' ? { kind: 'whole' } : { kind: 'transposed', shape: facts.shape };

/** Shape of the array that a session is fed with for a quantized weight. */
export const leafShapeOf = ({ facts: { layout, shape, rows, columns } }: PackedTensor): readonly number[] =>
  layout === 'rows-first' ? shape : [rows, columns];
