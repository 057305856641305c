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
}

export interface NativeControl {
  stop(): void;
  readonly fraction: number;
}

export interface NativeHasher {
  update(bytes: Uint8Array): void;
  hex(): string;
}

export interface NativeHeader {
  metadata: [string, string][];
  tensors: { name: string; dtype: string; shape: number[]; begin: number; end: number }[];
  dataOffset: number;
}

export interface NativeBlockLayout {
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

export interface NativeGrids {
  scales: Float32Array<ArrayBuffer>;
  zeroPoints?: Uint8Array<ArrayBuffer>;
}

export interface NativeRounded extends NativeGrids {
  codes: Uint8Array<ArrayBuffer>;
}
