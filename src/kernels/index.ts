export { setThreads, threadCount } from './addon.ts';
export { descend } from './descent.ts';
export {
  bytesToFloat,
  countNonFinite,
  firstNonFinite,
  floatToBytes,
  isDecodableFloat,
  narrowFloats,
} from './float.ts';
export { gptq, InputFactor } from './gptq.ts';
export { CrossGram, GramAccumulator } from './gram.ts';
export type { ClipSearch, GridScheme } from './grid.ts';
export {
  Hasher,
  hashBytes,
  hashFile,
  readSafetensorsHeader,
} from './hash.ts';
export {
  cholesky,
  choleskyInverse,
  eigenSymmetric,
  exactSize,
  type Floats,
  inSingle,
  matmul,
  matmulBySize,
  solveSymmetricPositive,
  svd,
} from './linalg.ts';
export {
  adamwStep,
  addInto,
  type FakeGrid,
  fakeCodes,
  fakePullBack,
  fakeRound,
  followAverage,
  muonStep,
  signStep,
  sumOfSquares,
} from './optim.ts';
export {
  packBlocks,
  packFlat,
  packRows,
  transposeF32,
  transposeU8,
  unpackBlocks,
  unpackFlat,
  unpackRows,
} from './pack.ts';
export { chooseGrid, dequantize, quantizeOnGrid, quantizeRtn } from './round.ts';
export {
  difference,
  Histogram,
  minMax,
  minMaxPerChannel,
  softmaxMetrics,
} from './stats.ts';
