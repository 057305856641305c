export { setThreads, threadCount } from './addon.ts';
export { type DescentInput, type DescentResult, descend } from './descent.ts';
export {
  bytesToFloat,
  countNonFinite,
  type FloatType,
  firstNonFinite,
  floatToBytes,
  isDecodableFloat,
  narrowFloats,
} from './float.ts';
export { type GptqInput, type GptqResult, gptq } from './gptq.ts';
export { CrossGram, GramAccumulator, type GramOptions, type PatchLayout } from './gram.ts';
export type { ClipSearch, GridOptions, GridScheme, Grids, RoundedWeight, WeightMatrix } from './grid.ts';
export {
  Hasher,
  hashBytes,
  hashFile,
  readSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from './hash.ts';
export type { JobOptions } from './job.ts';
export {
  cholesky,
  choleskyInverse,
  eigenSymmetric,
  matmul,
  type SymmetricEigen,
  solveSymmetricPositive,
  svd,
  type ThinSvd,
} from './linalg.ts';
export {
  packBlocks,
  packFlat,
  packRows,
  type StoredBits,
  transposeF32,
  transposeU8,
  unpackBlocks,
  unpackFlat,
  unpackRows,
} from './pack.ts';
export { chooseGrid, dequantize, quantizeOnGrid, quantizeRtn } from './round.ts';
export {
  type ChannelLayout,
  type ChannelRanges,
  type DifferenceSums,
  difference,
  Histogram,
  minMax,
  minMaxPerChannel,
  type SoftmaxInput,
  type SoftmaxMetrics,
  softmaxMetrics,
  type ValueRange,
} from './stats.ts';
