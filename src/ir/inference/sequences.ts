import { dataTypeFromOnnx } from '../data-type.ts';
import { addDims, sameDim } from '../dimension.ts';
import type { Dim, ValueType } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { type Fact, tensorFact } from './fact.ts';
import { commonShape, unknownDims, withDim } from './shapes.ts';

/** Sequences and optionals of tensors, and operators on strings. */

const elementOf = (call: Call, index: number): ValueType | undefined => {
  const type = call.type(index);
  return type?.kind === 'sequence' || type?.kind === 'optional' ? type.element : undefined;
};

const sequenceOf = (element: ValueType | undefined): Fact =>
  element ? { type: { kind: 'sequence', element } } : { type: undefined };

/** What holds for both of two element types. */
const commonType = (a: ValueType | undefined, b: ValueType | undefined): ValueType | undefined => {
  if (a?.kind !== 'tensor' || b?.kind !== 'tensor') return a ?? b;
  return { kind: 'tensor', dtype: a.dtype ?? b.dtype, shape: commonShape(a.shape, b.shape) };
};

const construct: Rule = (call) => [
  sequenceOf(call.node.inputs.map((_, index) => call.type(index)).reduce((a, b) => commonType(a, b))),
];

const empty: Rule = (call) => [
  sequenceOf({ kind: 'tensor', dtype: dataTypeFromOnnx(call.node.int('dtype', 1)), shape: undefined }),
];

const insert: Rule = (call) => [sequenceOf(commonType(elementOf(call, 0), call.type(1)))];

const unchanged: Rule = (call) => [call.fact(0)];

const element: Rule = (call) => [{ type: elementOf(call, 0) ?? call.type(0) }];

const length: Rule = () => [tensorFact('int64', [])];

const splitToSequence: Rule = (call) => {
  const x = call.shape(0);
  if (!x) return [sequenceOf({ kind: 'tensor', dtype: call.dtype(0), shape: undefined })];
  const axis = call.axis(call.node.int('axis', 0), x.length);
  const keep = call.has(1) || call.node.int('keepdims', 1) === 1;
  const lengths = call.contents(1);
  const even = lengths?.every((part) => sameDim(part, lengths[0]!) === true) ? (lengths[0] ?? null) : null;
  const part: Dim = call.has(1) ? even : 1;
  const shape = keep ? withDim(x, axis, part) : x.filter((_, at) => at !== axis);
  return [sequenceOf({ kind: 'tensor', dtype: call.dtype(0), shape })];
};

const concatFromSequence: Rule = (call) => {
  const part = elementOf(call, 0);
  if (part?.kind !== 'tensor') return [undefined];
  const rank = part.shape?.length;
  if (!part.shape || rank === undefined) return [tensorFact(part.dtype)];
  const stacked = call.node.int('new_axis', 0) === 1;
  const axis = call.axis(call.node.int('axis', 0), stacked ? rank + 1 : rank);
  const shape = stacked
    ? [...part.shape.slice(0, axis), null, ...part.shape.slice(axis)]
    : withDim(part.shape, axis, null);
  return [tensorFact(part.dtype, shape)];
};

const optional: Rule = (call) => {
  const stated = call.node.attributes.get('type');
  const type = call.type(0) ?? (stated?.kind === 'type' ? stated.value : undefined);
  return [type ? { type: { kind: 'optional', element: type } } : undefined];
};

const optionalHasElement: Rule = () => [tensorFact('bool', [])];

const stringsLikeInput: Rule = (call) => [tensorFact('string', call.shape(0))];

const flagsLikeInput: Rule = (call) => [tensorFact('bool', call.shape(0))];

/** Strings split: parts (…, most parts), and how many each has. */
const stringSplit: Rule = (call) => {
  const x = call.shape(0);
  return [tensorFact('string', x && [...x, null]), tensorFact('int64', x)];
};

/** Stopwords go, so the length of the last axis is not known. */
const stringNormalizer: Rule = (call) => {
  const x = call.shape(0);
  return [tensorFact('string', x && [...x.slice(0, -1), null])];
};

const tfIdf: Rule = (call) => {
  const x = call.shape(0);
  const indexes = call.node.ints('ngram_indexes') ?? [];
  return [
    tensorFact(
      'float32',
      x && [
        ...x.slice(0, -1),
        addDims(
          indexes.reduce((a, b) => Math.max(a, b), -1),
          1,
        ),
      ],
    ),
  ];
};

/** (height, width, channels) of an encoded image */
const imageDecoder: Rule = () => [tensorFact('uint8', unknownDims(3))];

export const sequenceRules: RuleTable = {
  SequenceConstruct: construct,
  SequenceEmpty: empty,
  SequenceInsert: insert,
  SequenceErase: unchanged,
  SequenceAt: element,
  SequenceLength: length,
  SplitToSequence: splitToSequence,
  ConcatFromSequence: concatFromSequence,
  Optional: optional,
  OptionalGetElement: element,
  OptionalHasElement: optionalHasElement,
  RegexFullMatch: flagsLikeInput,
  StringConcat: stringsLikeInput,
  StringSplit: stringSplit,
  StringNormalizer: stringNormalizer,
  TfIdfVectorizer: tfIdf,
  ImageDecoder: imageDecoder,
};
