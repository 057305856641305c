import { CompressError } from '../errors.ts';
import { addon } from './addon.ts';
import { expectInteger, expectLength } from './expect.ts';
import { callNative, type JobOptions, runJob } from './job.ts';
import type { NativeCrossGram, NativeGram, NativePatches } from './native.ts';
import { Turns } from './turns.ts';

/** How samples are added. */
export interface GramOptions extends Pick<JobOptions, 'signal'> {
  /** Sum products in double precision throughout, not only from chunk to chunk. About half as fast. */
  readonly exact?: boolean | undefined;
}

/**
 * The inputs of a convolution, (batch, channels, height, width). A convolution over one dimension has height 1, kernel
 * and strides and dilations [1, …] and pads [0, left, 0, right].
 */
export interface PatchLayout {
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly kernel: readonly [height: number, width: number];
  readonly strides: readonly [vertical: number, horizontal: number];
  readonly dilations: readonly [vertical: number, horizontal: number];
  readonly pads: readonly [top: number, left: number, bottom: number, right: number];
  /** Groups that the channels are divided into, and the one to unfold. Default: one group. */
  readonly groups?: number | undefined;
  readonly group?: number | undefined;
}

const toNativePatches = (layout: PatchLayout): NativePatches => {
  const { batch, channels, height, width, kernel, strides, dilations, pads, groups = 1, group = 0 } = layout;
  for (const [name, value] of Object.entries({ batch, channels, height, width }))
    expectInteger(name, value, 0, 2 ** 32 - 1);
  for (const value of [...kernel, ...strides, ...dilations])
    expectInteger('a size, stride or dilation of a filter', value, 1, 2 ** 32 - 1);
  for (const value of pads) expectInteger('padding', value, 0, 2 ** 32 - 1);
  expectInteger('the number of groups', groups, 1, Math.max(1, channels));
  expectInteger('the channels of a group', channels / groups, 1, 2 ** 32 - 1);
  expectInteger('the group', group, 0, groups - 1);
  return {
    batch,
    channels,
    height,
    width,
    kernel: [...kernel],
    strides: [...strides],
    dilations: [...dilations],
    pads: [...pads],
    firstChannel: (channels / groups) * group,
    groupChannels: channels / groups,
  };
};

/** Runs an addition that a signal can keep from beginning, but not stop half way: a sum stays whole. */
const addWhole = (options: GramOptions, start: () => Promise<void>): Promise<void> =>
  runJob({ signal: options.signal }, start);

const badSamples = (error: unknown): unknown =>
  error instanceof CompressError && error.code === 'numeric'
    ? new CompressError({
        code: 'numeric',
        message: `the activations are not finite: ${error.message}`,
        hint: 'Look at the calibration data and at the weights of the layers before this one.',
        cause: error,
      })
    : error;

/**
 * XᵀX (n, n) of a stream of samples, in double precision: products are summed in single precision within chunks of
 * 1024 samples (everything in double precision with `exact`). Sums depend on how samples are divided among calls, but
 * never on threads or timing: calls take effect in their order. Arrays must not change until the promise settles.
 */
export class GramAccumulator {
  readonly n: number;
  readonly #native: NativeGram;
  readonly #turns = new Turns();

  constructor(n: number, native?: NativeGram) {
    expectInteger('the number of columns', n, 1, 2 ** 32 - 1);
    this.n = n;
    this.#native = native ?? new (addon().GramAccumulator)(n);
  }

  /** The accumulator that `toBytes` was called on. @throws 'malformed' when the bytes are something else. */
  static fromBytes(bytes: Uint8Array): GramAccumulator {
    const native = callNative(() => addon().gramFromBytes(bytes));
    return new GramAccumulator(native.sums().length, native);
  }

  /** Adds samples (rows, n). @throws 'numeric' when a value is NaN or infinite; then nothing is added. */
  async add(x: Float32Array, rows: number, options: GramOptions = {}): Promise<void> {
    expectInteger('the number of samples', rows, 0, 2 ** 32 - 1);
    expectLength('samples', x, rows * this.n);
    await this.#turns.take(() =>
      addWhole(options, () => this.#native.add(x, rows, options.exact ?? false)).catch((error) => {
        throw badSamples(error);
      }),
    );
  }

  /**
   * Adds the unfolded inputs of one group of a convolution: a sample per output position, its columns in the order of
   * ONNX weights (channel of the group, filter row, filter column). Throws as `add` does.
   */
  async addPatches(x: Float32Array, layout: PatchLayout, options: GramOptions = {}): Promise<void> {
    const native = toNativePatches(layout);
    const { batch, channels, height, width, kernel, groupChannels } = native;
    expectLength('images', x, batch * channels * height * width);
    expectInteger('the columns of an unfolded filter', groupChannels * kernel[0] * kernel[1], this.n, this.n);
    await this.#turns.take(() =>
      addWhole(options, () => this.#native.addPatches(x, native, options.exact ?? false)).catch((error) => {
        throw badSamples(error);
      }),
    );
  }

  /**
   * Frees the sum now rather than when this object is collected; additions under way are finished first. Every later
   * use is an internal error.
   */
  release(): void {
    callNative(() => this.#native.release());
  }

  /** Adds what another accumulator of the same n has seen. */
  merge(other: GramAccumulator): void {
    this.#turns.expectIdle();
    other.#turns.expectIdle();
    expectInteger('the columns of the accumulator to merge', other.n, this.n, this.n);
    callNative(() => this.#native.merge(other.#native));
  }

  /** Samples seen. */
  get count(): number {
    this.#turns.expectIdle();
    return callNative(() => this.#native.count());
  }

  /** Mean of each column (n); zeros before the first sample. */
  mean(): Float64Array<ArrayBuffer> {
    const count = Math.max(1, this.count);
    return callNative(() => this.#native.sums()).map((sum) => sum / count);
  }

  /** Sum of squares of each column (n). */
  diagonal(): Float64Array<ArrayBuffer> {
    this.#turns.expectIdle();
    return callNative(() => this.#native.diagonal());
  }

  /** The whole symmetric sum XᵀX (n, n), not divided by the count. */
  matrix(): Float64Array<ArrayBuffer> {
    this.#turns.expectIdle();
    return callNative(() => this.#native.matrix());
  }

  /** Everything, for checkpoints; little-endian, the same on every machine. */
  toBytes(): Uint8Array<ArrayBuffer> {
    this.#turns.expectIdle();
    return callNative(() => this.#native.toBytes());
  }
}

/** FᵀX (m, n) of paired samples, in double precision over chunks of 1024 samples; otherwise as `GramAccumulator`. */
export class CrossGram {
  readonly m: number;
  readonly n: number;
  readonly #native: NativeCrossGram;
  readonly #turns = new Turns();

  constructor(m: number, n: number) {
    expectInteger('the number of rows', m, 1, 2 ** 32 - 1);
    expectInteger('the number of columns', n, 1, 2 ** 32 - 1);
    this.m = m;
    this.n = n;
    this.#native = new (addon().CrossGramAccumulator)(m, n);
  }

  /** Adds samples: row i of `full` (rows, m) belongs to row i of `x` (rows, n). @throws 'numeric' as above. */
  async add(
    full: Float32Array,
    x: Float32Array,
    rows: number,
    options: Pick<GramOptions, 'signal'> = {},
  ): Promise<void> {
    expectInteger('the number of samples', rows, 0, 2 ** 32 - 1);
    expectLength('full samples', full, rows * this.m);
    expectLength('samples', x, rows * this.n);
    await this.#turns.take(() =>
      addWhole(options, () => this.#native.add(full, x, rows)).catch((error) => {
        throw badSamples(error);
      }),
    );
  }

  /**
   * Adds the unfolded inputs of one group of a convolution: two views (batch, channels, height, width) that are
   * unfolded alike, a sample per output position. @throws 'numeric' as above.
   */
  async addPatches(
    full: Float32Array,
    x: Float32Array,
    layout: PatchLayout,
    options: Pick<GramOptions, 'signal'> = {},
  ): Promise<void> {
    const native = toNativePatches(layout);
    const { batch, channels, height, width, kernel, groupChannels } = native;
    expectLength('full images', full, batch * channels * height * width);
    expectLength('images', x, batch * channels * height * width);
    for (const size of [this.m, this.n])
      expectInteger('the columns of an unfolded filter', groupChannels * kernel[0] * kernel[1], size, size);
    await this.#turns.take(() =>
      addWhole(options, () => this.#native.addPatches(full, x, native)).catch((error) => {
        throw badSamples(error);
      }),
    );
  }

  /**
   * Frees the sum now rather than when this object is collected; additions under way are finished first. Every later
   * use is an internal error.
   */
  release(): void {
    callNative(() => this.#native.release());
  }

  /** Adds what another accumulator of the same sizes has seen. */
  merge(other: CrossGram): void {
    this.#turns.expectIdle();
    other.#turns.expectIdle();
    callNative(() => this.#native.merge(other.#native));
  }

  /** Samples seen. */
  get count(): number {
    this.#turns.expectIdle();
    return callNative(() => this.#native.count());
  }

  /** The sum FᵀX (m, n), not divided by the count. */
  matrix(): Float64Array<ArrayBuffer> {
    this.#turns.expectIdle();
    return callNative(() => this.#native.matrix());
  }
}
