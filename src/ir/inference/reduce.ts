import { maxDims, minDims, productOfDims } from '../dimension.ts';
import { type Dim, elementCount, isStatic, type Shape } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { type Fact, tensorFact } from './fact.ts';
import { sumOfDims, unknownDims } from './shapes.ts';

const reducedShape = (call: Call, axes: readonly number[], keep: boolean): Shape | undefined => {
  const x = call.shape(0);
  if (!x) return undefined;
  const gone = new Set(axes.map((axis) => call.axis(axis, x.length)));
  return keep ? x.map((dim, axis) => (gone.has(axis) ? 1 : dim)) : x.filter((_, axis) => !gone.has(axis));
};

const folds: Readonly<Record<string, (elements: readonly Dim[]) => Dim>> = {
  ReduceProd: productOfDims,
  ReduceSum: sumOfDims,
  ReduceMax: (elements) => elements.reduce(maxDims),
  ReduceMin: (elements) => elements.reduce(minDims),
};

/** Elements of a followed vector reduced to one. */
const foldedContents = (call: Call, shape: Shape | undefined): readonly Dim[] | undefined => {
  const contents = call.contents(0);
  const fold = folds[call.node.op];
  if (!contents || !fold || !isStatic(shape) || elementCount(shape) !== 1 || contents.length === 0) return undefined;
  return [fold(contents)];
};

const reduce: Rule = (call) => {
  const x = call.shape(0);
  const keep = call.node.int('keepdims', 1) === 1;
  const axes = call.axes(1);
  if (axes === 'unknown') {
    const count = call.shape(1)?.[0];
    const rank = keep ? x?.length : x && typeof count === 'number' ? x.length - count : undefined;
    return [tensorFact(call.dtype(0), rank === undefined ? undefined : unknownDims(rank))];
  }
  if ((axes === 'absent' || axes.length === 0) && call.node.int('noop_with_empty_axes', 0) === 1)
    return [tensorFact(call.dtype(0), x, call.contents(0))];
  const all = axes === 'absent' || axes.length === 0 ? (x?.map((_, axis) => axis) ?? []) : axes;
  const shape = reducedShape(call, all, keep);
  return [tensorFact(call.dtype(0), shape, foldedContents(call, shape))];
};

/** Index of the largest (smallest) element along an axis. */
const extremeIndex: Rule = (call) => [
  tensorFact('int64', reducedShape(call, [call.node.int('axis', 0)], call.node.int('keepdims', 1) === 1)),
];

/** Values and indices of the largest elements along an axis; k is an attribute before opset 10. */
const topK: Rule = (call) => {
  const x = call.shape(0);
  const k = call.opset < 10 ? call.node.int('k', 1) : (call.contents(1)?.[0] ?? null);
  const axis = x && call.axis(call.node.int('axis', -1), x.length);
  const shape = x?.map((dim, at) => (at === axis ? k : dim));
  return [tensorFact(call.dtype(0), shape), tensorFact('int64', shape)];
};

/** Values, first indices, inverse indices, counts. The number of distinct ones is not known. */
const unique: Rule = (call) => {
  const x = call.shape(0);
  const axis = call.node.int('axis');
  const values: Fact =
    axis === undefined
      ? tensorFact(call.dtype(0), [null])
      : tensorFact(
          call.dtype(0),
          x?.map((dim, at) => (at === call.axis(axis, x.length) ? null : dim)),
        );
  const indices = tensorFact('int64', [null]);
  return [values, indices, indices, indices];
};

/** (rank, number of non-zero elements) */
const nonZero: Rule = (call) => {
  const contents = call.numbers(0);
  return [
    tensorFact('int64', [call.shape(0)?.length ?? null, contents?.filter((element) => element !== 0).length ?? null]),
  ];
};

/** Rows chosen by a boolean vector; how many is known only for followed conditions. */
const compress: Rule = (call) => {
  const x = call.shape(0);
  const count = call.numbers(1)?.filter((element) => element !== 0).length ?? null;
  const axis = call.node.int('axis');
  if (axis === undefined) return [tensorFact(call.dtype(0), [count])];
  return [
    tensorFact(
      call.dtype(0),
      x?.map((dim, at) => (at === call.axis(axis, x.length) ? count : dim)),
    ),
  ];
};

/** (selected boxes, 3) */
const nonMaxSuppression: Rule = () => [tensorFact('int64', [null, 3])];

/** Loss, and for SoftmaxCrossEntropyLoss the log-probabilities. */
const loss: Rule = (call) => {
  const reduced = (call.node.text('reduction') ?? 'mean') !== 'none';
  return [tensorFact(call.dtype(0), reduced ? [] : call.shape(1)), tensorFact(call.dtype(0), call.shape(0))];
};

const reductions = [
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSum',
  'ReduceSumSquare',
] as const;

export const reduceRules: RuleTable = {
  ...Object.fromEntries(reductions.map((op) => [op, reduce])),
  ArgMax: extremeIndex,
  ArgMin: extremeIndex,
  TopK: topK,
  Unique: unique,
  NonZero: nonZero,
  Compress: compress,
  NonMaxSuppression: nonMaxSuppression,
  SoftmaxCrossEntropyLoss: loss,
  NegativeLogLikelihoodLoss: loss,
};
