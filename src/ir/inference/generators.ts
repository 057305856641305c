import { type DataType, dataTypeFromOnnx } from '../data-type.ts';
import {
  addDims,
  ceilDivideDims,
  floorDivideDims,
  isNonNegativeDim,
  maxDims,
  multiplyDims,
  subtractDims,
} from '../dimension.ts';
import { readNumbers } from '../read.ts';
import { type Dim, elementCount, isStatic, tensorType } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { type Fact, largestContents, tensorFact } from './fact.ts';
import { unknownDims } from './shapes.ts';

const notFollowed: ReadonlySet<DataType> = new Set(['string', 'complex64', 'complex128']);

/** Elements of a small constant. Numbers are finite; others are left out. */
const constantContents = (tensor: Tensor): readonly Dim[] | undefined => {
  if (elementCount(tensor.shape) > largestContents || notFollowed.has(tensor.dtype) || tensor.kind === 'packed')
    return undefined;
  return Array.from(readNumbers(tensor), (element) => (Number.isFinite(element) ? element : null));
};

/** The fact of a constant; its elements are read when a rule asks for them. */
export const constantFact = (tensor: Tensor): Fact => {
  let contents: readonly Dim[] | undefined;
  let known = false;
  return {
    type: tensorType(tensor.dtype, tensor.shape),
    get contents() {
      if (!known) contents = constantContents(tensor);
      known = true;
      return contents;
    },
  };
};

/** One of the attributes value, value_float(s), value_int(s), value_string(s). */
const constant: Rule = ({ node }) => {
  const attribute = [...node.attributes].find(([name]) => name.startsWith('value') || name === 'sparse_value')?.[1];
  switch (attribute?.kind) {
    case 'tensor':
      return [constantFact(attribute.value)];
    case 'int':
      return [tensorFact('int64', [], [attribute.value])];
    case 'float':
      return [tensorFact('float32', [], [attribute.value])];
    case 'string':
      return [tensorFact('string', [])];
    case 'ints':
      return [tensorFact('int64', [attribute.value.length], attribute.value)];
    case 'floats':
      return [tensorFact('float32', [attribute.value.length], attribute.value)];
    case 'strings':
      return [tensorFact('string', [attribute.value.length])];
    default:
      return [undefined];
  }
};

const constantOfShape: Rule = (call) => {
  const value = call.node.attributes.get('value');
  const tensor = value?.kind === 'tensor' ? value.value : undefined;
  const shape = call.contents(0);
  const rank = call.shape(0)?.[0];
  const dtype = tensor?.dtype ?? 'float32';
  if (!shape) return [tensorFact(dtype, typeof rank === 'number' ? unknownDims(rank) : undefined)];
  if (shape.some((dim) => typeof dim === 'number' && dim < 0)) call.problem(`the shape is [${shape.join(', ')}]`);
  const count = isStatic(shape) ? elementCount(shape) : Number.POSITIVE_INFINITY;
  const element = tensor ? constantContents(tensor)?.[0] : 0;
  const contents = count <= largestContents && element !== undefined ? new Array<Dim>(count).fill(element) : undefined;
  return [tensorFact(dtype, shape, contents)];
};

const first = (call: Call, index: number): Dim => call.contents(index)?.[0] ?? null;

/** start, start + delta, … below limit: max(0, ceil((limit - start) / delta)) numbers. */
const range: Rule = (call) => {
  const [start, limit, delta] = [first(call, 0), first(call, 1), first(call, 2)];
  const length = rangeLength(start, limit, delta);
  const followed = typeof length === 'number' && length <= largestContents;
  const contents = followed
    ? Array.from({ length }, (_, index) => addDims(start, multiplyDims(delta, index)))
    : undefined;
  return [tensorFact(call.dtype(0), [length], contents)];
};

const rangeLength = (start: Dim, limit: Dim, delta: Dim): Dim => {
  if (delta === 0) return null;
  if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number')
    return Math.max(0, Math.ceil((limit - start) / delta));
  const length = ceilDivideDims(subtractDims(limit, start), delta);
  return isNonNegativeDim(length) ? length : maxDims(length, 0);
};

const attributeType = (call: Call, name: string, fallback: DataType | undefined): DataType | undefined => {
  const number = call.node.int(name);
  return number === undefined ? fallback : dataTypeFromOnnx(number);
};

/** Random numbers of a shape given as an attribute. */
const randomOfShape: Rule = (call) => [tensorFact(attributeType(call, 'dtype', 'float32'), call.node.ints('shape'))];

/** Random numbers or an identity matrix with the shape of the input. */
const shapedLikeInput: Rule = (call) => [tensorFact(attributeType(call, 'dtype', call.dtype(0)), call.shape(0))];

const multinomial: Rule = (call) => [
  tensorFact(attributeType(call, 'dtype', 'int32'), [call.shape(0)?.[0] ?? null, call.node.int('sample_size', 1)]),
];

const signalWindow: Rule = (call) => [tensorFact(attributeType(call, 'output_datatype', 'float32'), [first(call, 0)])];

/** (floor(dft_length / 2) + 1, num_mel_bins) */
const melWeights: Rule = (call) => [
  tensorFact(attributeType(call, 'output_datatype', 'float32'), [
    addDims(floorDivideDims(first(call, 1), 2), 1),
    first(call, 0),
  ]),
];

/** Real or complex signals (…, 1 or 2) → (…, 2); one-sided: half of the axis; inverse one-sided (opset 20): real. */
const fourier: Rule = (call) => {
  const x = call.shape(0);
  if (!x) return [tensorFact(call.dtype(0))];
  const wished = call.opset < 20 ? call.node.int('axis', 1) : call.has(2) ? call.numbers(2)?.[0] : -2;
  if (wished === undefined) return [tensorFact(call.dtype(0), unknownDims(x.length))];
  const axis = call.axis(wished, x.length);
  const length = call.has(1) ? first(call, 1) : x[axis]!;
  const oneSided = call.node.int('onesided', 0) === 1;
  const inverse = call.node.int('inverse', 0) === 1;
  const size = oneSided && !inverse ? addDims(floorDivideDims(length, 2), 1) : length;
  const last = oneSided && inverse ? 1 : 2;
  return [
    tensorFact(
      call.dtype(0),
      x.map((dim, at) => (at === axis ? size : at === x.length - 1 ? last : dim)),
    ),
  ];
};

/** signal, frame_step, window, frame_length → (batch, frames, bins, 2) */
const shortTimeFourier: Rule = (call) => {
  const signal = call.shape(0);
  const step = first(call, 1);
  const length = call.has(3) ? first(call, 3) : (call.shape(2)?.[0] ?? null);
  const frames = addDims(floorDivideDims(subtractDims(signal?.[1] ?? null, length), step), 1);
  const bins = call.node.int('onesided', 1) === 1 ? addDims(floorDivideDims(length, 2), 1) : length;
  return [tensorFact(call.dtype(0), [signal?.[0] ?? null, frames, bins, 2])];
};

export const generatorRules: RuleTable = {
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  RandomNormal: randomOfShape,
  RandomUniform: randomOfShape,
  RandomNormalLike: shapedLikeInput,
  RandomUniformLike: shapedLikeInput,
  EyeLike: shapedLikeInput,
  Bernoulli: shapedLikeInput,
  Multinomial: multinomial,
  BlackmanWindow: signalWindow,
  HammingWindow: signalWindow,
  HannWindow: signalWindow,
  MelWeightMatrix: melWeights,
  DFT: fourier,
  STFT: shortTimeFourier,
};
