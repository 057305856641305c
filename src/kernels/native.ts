/** The functions of the native addon as they are, without checks; only this folder calls them. */
export interface NativeAddon {
  interfaceVersion(): number;
  setThreads(threads: number): void;
  threadCount(): number;
  readonly Control: new () => NativeControl;

  hashBytes(bytes: Uint8Array): string;
  hashFile(path: string, control: NativeControl): Promise<string>;
  readonly Hasher: new () => NativeHasher;
  readSafetensorsHeaderFile(path: string): NativeHeader;
  readSafetensorsHeaderBytes(bytes: Uint8Array, fileLength: number): NativeHeader;

  decodeFloats(bytes: Uint8Array, kind: string): Float32Array<ArrayBuffer>;
  encodeFloats(values: Float32Array, kind: string): { bytes: Uint8Array<ArrayBuffer>; nonFinite: number };
  countNonFinite(values: Float32Array): number;
  firstNonFinite(values: Float32Array): number;

  packRows(codes: Uint8Array, rows: number, columns: number, bits: number): Uint8Array<ArrayBuffer>;
  unpackRows(packed: Uint8Array, rows: number, columns: number, bits: number): Uint8Array<ArrayBuffer>;
  packFlat(codes: Uint8Array, bits: number): Uint8Array<ArrayBuffer>;
  unpackFlat(packed: Uint8Array, count: number, bits: number): Uint8Array<ArrayBuffer>;
  packBlocks(
    codes: Uint8Array,
    layout: NativeBlockLayout,
    zeroPoints: Uint8Array | null,
    padding: number,
  ): Uint8Array<ArrayBuffer>;
  unpackBlocks(packed: Uint8Array, layout: NativeBlockLayout): Uint8Array<ArrayBuffer>;
  transposeF32(matrix: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer>;
  transposeU8(matrix: Uint8Array, rows: number, columns: number): Uint8Array<ArrayBuffer>;

  quantizeRtn(matrix: NativeMatrix, grid: NativeGrid, control: NativeControl): Promise<NativeRounded>;
  chooseGrid(matrix: NativeMatrix, grid: NativeGrid, control: NativeControl): Promise<NativeGrids>;
  quantizeOnGrid(
    matrix: NativeMatrix,
    grid: NativeGrid,
    scales: Float32Array,
    zeroPoints: Uint8Array | null,
    control: NativeControl,
  ): Promise<Uint8Array<ArrayBuffer>>;
  dequantize(
    codes: Uint8Array,
    layout: { rows: number; columns: number; groupSize: number },
    scales: Float32Array,
    zeroPoints: Uint8Array | null,
    zero: number,
  ): Float32Array<ArrayBuffer>;
  readonly FactoredInputs: new (n: number, exact: boolean) => NativeFactoredInputs;
  solveFactored(
    factor: NativeFactoredInputs,
    right: Float64Array,
    rows: number,
    control: NativeControl,
  ): Promise<Float32Array<ArrayBuffer>>;
  gptqSolve(
    matrix: NativeMatrix,
    factor: NativeFactoredInputs,
    grid: NativeGrid,
    options: { blockSize: number; drift: number },
    scales: Float32Array | null,
    zeroPoints: Uint8Array | null,
    control: NativeControl,
  ): Promise<NativeRounded & { losses: Float64Array<ArrayBuffer> }>;

  descend(
    start: { codes: Uint8Array; scales: Float32Array; zeroPoints: Uint8Array },
    layout: { rows: number; columns: number; groupSize: number },
    metric: {
      target: Float64Array;
      inputs: Float64Array;
      noise: number;
      weight?: Float32Array;
      outputs?: Float32Array | Float64Array;
    },
    options: {
      bits: number;
      passes: number;
      refit: boolean;
      ridge: number;
      halfScales: boolean;
      exact: boolean;
      measure: boolean;
    },
    control: NativeControl,
  ): Promise<{
    codes: Uint8Array<ArrayBuffer>;
    scales: Float32Array<ArrayBuffer>;
    changes: number;
    before: number;
    after: number;
  }>;

  readonly GramAccumulator: new (n: number) => NativeGram;
  gramFromBytes(bytes: Uint8Array): NativeGram;
  readonly CrossGramAccumulator: new (m: number, n: number) => NativeCrossGram;

  matmulF32(a: Float32Array, b: Float32Array, layout: NativeProduct): Promise<Float32Array<ArrayBuffer>>;
  matmulF64(a: Float64Array, b: Float64Array, layout: NativeProduct): Promise<Float64Array<ArrayBuffer>>;
  cholesky(matrix: Float64Array, n: number): Promise<Float64Array<ArrayBuffer>>;
  choleskyInverse(matrix: Float64Array, n: number): Promise<Float64Array<ArrayBuffer>>;
  solveSymmetricPositive(
    matrix: Float64Array,
    n: number,
    right: Float64Array,
    columns: number,
  ): Promise<Float64Array<ArrayBuffer>>;
  eigenSymmetric(
    matrix: Float64Array,
    n: number,
  ): Promise<{ values: Float64Array<ArrayBuffer>; vectors: Float64Array<ArrayBuffer> }>;
  svd(
    matrix: Float64Array,
    rows: number,
    columns: number,
  ): Promise<{ u: Float64Array<ArrayBuffer>; s: Float64Array<ArrayBuffer>; vt: Float64Array<ArrayBuffer> }>;

  adamwStep(
    parameters: Float32Array,
    gradients: Float32Array[],
    first: Float32Array,
    second: Float32Array,
    settings: NativeStep & { beta1: number; beta2: number; epsilon: number; step: number },
  ): void;
  signStep(
    parameters: Float32Array,
    gradients: Float32Array[],
    momentum: Float32Array,
    settings: NativeStep & { momentum: number },
  ): void;
  muonStep(
    parameters: Float32Array,
    gradients: Float32Array[],
    momentum: Float32Array,
    shapes: { rows: number; columns: number }[],
    settings: NativeStep & { momentum: number },
  ): void;
  sumOfSquares(arrays: Float32Array[]): number;
  addInto(total: Float32Array, part: Float32Array): void;
  followAverage(average: Float32Array, values: Float32Array, decay: number): void;
  fakeCodes(weights: Float32Array, grid: NativeFakeGrid): Uint8Array<ArrayBuffer>;
  fakeRound(weights: Float32Array, grid: NativeFakeGrid, rounded: Float32Array): void;
  fakePullBack(
    weights: Float32Array,
    grid: NativeFakeGrid,
    gradients: Float32Array,
    scaleGradients: Float32Array,
  ): void;

  minMax(values: Float32Array): NativeRange;
  minMaxPerChannel(
    values: Float32Array,
    outer: number,
    channels: number,
    inner: number,
  ): { minimum: Float32Array<ArrayBuffer>; maximum: Float32Array<ArrayBuffer>; nonFinite: number };
  readonly Histogram: new (bins: number) => NativeHistogram;
  difference(
    a: Float32Array,
    b: Float32Array,
  ): { signal: number; noise: number; dot: number; other: number; greatest: number };
  softmaxMetrics(
    logits: Float32Array,
    labels: Int32Array,
    reference: Float32Array | null,
    control: NativeControl,
  ): Promise<{
    nll: Float64Array<ArrayBuffer>;
    top1: Uint8Array<ArrayBuffer>;
    kl?: Float64Array<ArrayBuffer>;
    agree?: Uint8Array<ArrayBuffer>;
  }>;
}

interface NativeStep {
  learningRate: number;
  weightDecay: number;
  gradientScale: number;
}

interface NativeFakeGrid {
  rows: number;
  columns: number;
  groupSize: number;
  bits: number;
  scales: Float32Array;
  zeroPoints: Uint8Array;
}

interface NativeRange {
  minimum: number;
  maximum: number;
  nonFinite: number;
}

export interface NativeHistogram {
  add(values: Float32Array): void;
  merge(other: NativeHistogram): void;
  counts(): Float64Array<ArrayBuffer>;
  range(): number;
  extremes(): NativeRange;
}

interface NativeProduct {
  rows: number;
  inner: number;
  columns: number;
  transposeA: boolean;
  transposeB: boolean;
}

export interface NativePatches {
  batch: number;
  channels: number;
  height: number;
  width: number;
  kernel: [number, number];
  strides: [number, number];
  dilations: [number, number];
  pads: [number, number, number, number];
  firstChannel: number;
  groupChannels: number;
}

export interface NativeGram {
  release(): void;
  add(x: Float32Array, rows: number, exact: boolean): Promise<void>;
  addPatches(x: Float32Array, layout: NativePatches, exact: boolean): Promise<void>;
  merge(other: NativeGram): void;
  count(): number;
  sums(): Float64Array<ArrayBuffer>;
  diagonal(): Float64Array<ArrayBuffer>;
  matrix(): Float64Array<ArrayBuffer>;
  toBytes(): Uint8Array<ArrayBuffer>;
}

export interface NativeFactoredInputs {
  release(): void;
  factor(
    hessian: Float64Array,
    n: number,
    pairs: Float64Array | null,
    options: { byActivation: boolean; damp: number; retries: number; exact: boolean; share: number },
    control: NativeControl,
  ): Promise<{ damp: number; retries: number; deadColumns: number }>;
}

export interface NativeCrossGram {
  release(): void;
  addPatches(full: Float32Array, x: Float32Array, layout: NativePatches): Promise<void>;
  add(full: Float32Array, x: Float32Array, rows: number): Promise<void>;
  merge(other: NativeCrossGram): void;
  count(): number;
  matrix(): Float64Array<ArrayBuffer>;
}

export interface NativeControl {
  stop(): void;
  readonly fraction: number;
}

export interface NativeHasher {
  update(bytes: Uint8Array): void;
  hex(): string;
}

interface NativeHeader {
  metadata: [string, string][];
  tensors: { name: string; dtype: string; shape: number[]; begin: number; end: number }[];
  dataOffset: number;
}

interface NativeBlockLayout {
  rows: number;
  columns: number;
  blockSize: number;
  bits: number;
}

export interface NativeMatrix {
  weight: Float32Array;
  rows: number;
  columns: number;
}

export interface NativeGrid {
  bits: number;
  groupSize: number;
  scheme: string;
  scaleType: string;
  clip?: { grid: number; maxShrink: number; norm: number; weights?: Float64Array };
}

interface NativeGrids {
  scales: Float32Array<ArrayBuffer>;
  zeroPoints?: Uint8Array<ArrayBuffer>;
}

interface NativeRounded extends NativeGrids {
  codes: Uint8Array<ArrayBuffer>;
}
