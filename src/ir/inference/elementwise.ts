import type { DataType } from '../data-type.ts';
import { dataTypeFromOnnx } from '../data-type.ts';
import type { Dim } from '../shape.ts';
import type { Rule, RuleTable } from './call.ts';
import { elementwiseContents } from './contents.ts';
import { type Fact, tensorFact } from './fact.ts';
import { broadcastShapes } from './shapes.ts';

/** One input, one output of the same type and shape. */
export const sameAsFirst: Rule = (call) => [tensorFact(call.dtype(0), call.shape(0))];

const unaryFollowed: Rule = (call) => {
  const shape = call.shape(0);
  return [tensorFact(call.dtype(0), shape, elementwiseContents(call, shape))];
};

const firstKnownType = (types: readonly (DataType | undefined)[]): DataType | undefined =>
  types.find((dtype) => dtype !== undefined);

/** Any number of inputs broadcast together, of one element type. */
const broadcasting: Rule = (call) => {
  const count = call.node.inputs.length;
  const shapes = Array.from({ length: count }, (_, index) => call.shape(index));
  const dtypes = Array.from({ length: count }, (_, index) => call.dtype(index));
  const dtype = firstKnownType(dtypes);
  const other = dtypes.find((found) => found !== undefined && found !== dtype);
  if (other) call.problem(`the inputs have element types ${dtype} and ${other}`);
  const shape = call.opset < 7 ? call.shape(0) : broadcastShapes(call, shapes);
  return [tensorFact(dtype, shape, call.opset < 7 ? undefined : elementwiseContents(call, shape))];
};

/** The exponent of Pow may have another type than the base. */
const power: Rule = (call) => {
  const shape = call.opset < 7 ? call.shape(0) : broadcastShapes(call, [call.shape(0), call.shape(1)]);
  return [tensorFact(call.dtype(0), shape, elementwiseContents(call, shape))];
};

/** A value of any kind handed through. */
const passThrough: Rule = (call) => [call.fact(0)];

const clip: Rule = (call) => [tensorFact(call.dtype(0), call.shape(0))];

const prelu: Rule = (call) => [tensorFact(call.dtype(0), call.shape(0))];

const dropout: Rule = (call) => {
  const mask: Fact = tensorFact(call.opset >= 10 ? 'bool' : call.dtype(0), call.shape(0));
  return [tensorFact(call.dtype(0), call.shape(0), call.contents(0)), mask];
};

const castContents = (contents: readonly Dim[] | undefined, to: DataType | undefined): readonly Dim[] | undefined => {
  if (!contents || !to) return undefined;
  if (to === 'bool') return contents.map((element) => (typeof element === 'number' ? (element === 0 ? 0 : 1) : null));
  if (to === 'float16' || to === 'bfloat16' || to.startsWith('float8')) return undefined;
  if (to === 'float32' || to === 'float64' || to === 'string') return contents;
  return contents.map((element) => (typeof element === 'number' ? Math.trunc(element) : element));
};

const cast: Rule = (call) => {
  const number = call.node.int('to');
  const dtype = number === undefined ? undefined : dataTypeFromOnnx(number);
  return [tensorFact(dtype, call.shape(0), castContents(call.contents(0), dtype))];
};

const castLike: Rule = (call) => [
  tensorFact(call.dtype(1), call.shape(0), castContents(call.contents(0), call.dtype(1))),
];

/** Operators that keep shape and element type. */
const shapeKeeping = [
  'Acos',
  'Acosh',
  'Asin',
  'Asinh',
  'Atan',
  'Atanh',
  'BitwiseNot',
  'Celu',
  'Cos',
  'Cosh',
  'CumProd',
  'CumSum',
  'Elu',
  'Erf',
  'Exp',
  'Gelu',
  'HardSigmoid',
  'HardSwish',
  'Hardmax',
  'LeakyRelu',
  'Log',
  'LogSoftmax',
  'Mish',
  'ParametricSoftplus',
  'Relu',
  'Round',
  'ScaledTanh',
  'Selu',
  'Shrink',
  'Sigmoid',
  'Sin',
  'Sinh',
  'Softmax',
  'Softplus',
  'Softsign',
  'Swish',
  'Tan',
  'Tanh',
  'ThresholdedRelu',
] as const;

export const elementwiseRules: RuleTable = {
  ...Object.fromEntries(shapeKeeping.map((op) => [op, sameAsFirst])),
  Abs: unaryFollowed,
  Ceil: unaryFollowed,
  Floor: unaryFollowed,
  Neg: unaryFollowed,
  Reciprocal: unaryFollowed,
  Sign: unaryFollowed,
  Sqrt: unaryFollowed,
  Add: broadcasting,
  BitShift: broadcasting,
  BitwiseAnd: broadcasting,
  BitwiseOr: broadcasting,
  BitwiseXor: broadcasting,
  Div: broadcasting,
  Max: broadcasting,
  Mean: broadcasting,
  Min: broadcasting,
  Mod: broadcasting,
  Mul: broadcasting,
  Sub: broadcasting,
  Sum: broadcasting,
  Pow: power,
  PRelu: prelu,
  Clip: clip,
  Identity: passThrough,
  Dropout: dropout,
  Cast: cast,
  CastLike: castLike,
};
