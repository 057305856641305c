import { internalError } from '../errors.ts';
import { GramAccumulator } from '../kernels/index.ts';
import type { Moment } from './moments.ts';

/** A moment while it is gathered. */
export interface MomentSum extends Moment {
  /** Adds positions: (rows, n). @throws 'numeric' for NaN and infinite values. */
  add(x: Float32Array, rows: number): Promise<void>;
  /** Adds pictures (batch, n, positions): every position of every picture is one sample over channels. */
  addChannels(x: Float32Array, batch: number, positions: number): Promise<void>;
  /** Everything; `momentFromBytes` gives it back. */
  toBytes(): Uint8Array;
  /** Frees the memory; every later use is an error. */
  release(): void;
}

/** Σ x xᵀ, whole. */
export class FullSum implements MomentSum {
  readonly kind = 'full';
  readonly #gram: GramAccumulator;

  constructor(gram: GramAccumulator) {
    this.#gram = gram;
  }

  get n(): number {
    return this.#gram.n;
  }

  get count(): number {
    return this.#gram.count;
  }

  diagonal(): Float64Array {
    return this.#gram.diagonal();
  }

  matrix(): Float64Array {
    return this.#gram.matrix();
  }

  add(x: Float32Array, rows: number): Promise<void> {
    return this.#gram.add(x, rows);
  }

  /** A 1×1 window over the channels unfolds every position. */
  addChannels(x: Float32Array, batch: number, positions: number): Promise<void> {
    const window = { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] } as const;
    return this.#gram.addPatches(x, { batch, channels: this.n, height: 1, width: positions, ...window });
  }

  toBytes(): Uint8Array {
    return this.#gram.toBytes();
  }

  release(): void {
    this.#gram.release();
  }
}

/** The diagonal of Σ x xᵀ. */
export class DiagonalSum implements MomentSum {
  readonly kind = 'diagonal';
  readonly #squares: Float64Array;
  #count: number;

  constructor(squares: Float64Array, count = 0) {
    this.#squares = squares;
    this.#count = count;
  }

  get n(): number {
    return this.#squares.length;
  }

  get count(): number {
    return this.#count;
  }

  diagonal(): Float64Array {
    return this.#squares.slice();
  }

  matrix(): Float64Array {
    throw internalError(`of a moment of ${this.n} only the diagonal is known`);
  }

  async add(x: Float32Array, rows: number): Promise<void> {
    const { n } = this;
    for (let row = 0, at = 0; row < rows; row++)
      for (let column = 0; column < n; column++, at++) this.#squares[column]! += x[at]! ** 2;
    this.#count += rows;
  }

  async addChannels(x: Float32Array, batch: number, positions: number): Promise<void> {
    const { n } = this;
    for (let picture = 0, at = 0; picture < batch; picture++)
      for (let channel = 0; channel < n; channel++) {
        let sum = 0;
        for (let position = 0; position < positions; position++, at++) sum += x[at]! ** 2;
        this.#squares[channel]! += sum;
      }
    this.#count += batch * positions;
  }

  toBytes(): Uint8Array {
    const numbers = new Float64Array(this.n + 1);
    numbers[0] = this.#count;
    numbers.set(this.#squares, 1);
    return new Uint8Array(numbers.buffer);
  }

  release(): void {}
}

/** The inverse of `toBytes`. @throws 'malformed' when the bytes are something else. */
export const momentFromBytes = (kind: Moment['kind'], bytes: Uint8Array): MomentSum => {
  if (kind === 'full') return new FullSum(GramAccumulator.fromBytes(bytes));
  const numbers = new Float64Array(bytes.slice().buffer);
  return new DiagonalSum(numbers.slice(1), numbers[0]);
};
