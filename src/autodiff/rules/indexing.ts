import { CompressError, internalError } from '../../errors.ts';
import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, textAttribute, type Value } from '../../ir/graph.ts';
import { rankOf } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';
import { constantIntegers, zerosLike } from './movement.ts';

const addUp = { reduction: textAttribute('add') };

/** Permutation that moves `count` axes from `from` to the front; its inverse moves them back. */
const frontPermutation = (rank: number, from: number, count: number): number[] => {
  const moved = Array.from({ length: count }, (_, offset) => from + offset);
  return [...moved, ...Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !moved.includes(axis))];
};

const inverseOf = (permutation: readonly number[]): number[] => {
  const inverse = new Array<number>(permutation.length);
  permutation.forEach((from, to) => {
    inverse[from] = to;
  });
  return inverse;
};

/** Adds rows of `updates` into zeros of the shape of `like` along `axis` at the places `indices` (any rank). */
export const scatterAlong = (
  build: OperatorBuilder,
  like: Value,
  axis: number,
  indices: Value,
  updates: Value,
  node: string,
): Value => {
  const [rank, indexRank] = [rankOf(like), rankOf(indices)];
  if (rank === undefined || indexRank === undefined)
    throw internalError(`the ranks of ${like.name} and ${indices.name} must be known`, { node });
  const places = build.call('Unsqueeze', [
    build.call('Cast', [indices], { to: intAttribute(7) }),
    build.integers([-1]),
  ]);
  const from = axis < 0 ? axis + rank : axis;
  if (from === 0)
    return build.typed(build.call('ScatterND', [zerosLike(build, like), places, updates], addUp), like.type);
  const forward = frontPermutation(rank, from, 1);
  const zeros = build.transpose(zerosLike(build, like), forward);
  const rows = build.transpose(updates, frontPermutation(rank - 1 + indexRank, from, indexRank));
  return build.typed(
    build.transpose(build.call('ScatterND', [zeros, places, rows], addUp), inverseOf(forward)),
    like.type,
  );
};

export const gatherRule: Rule = ({ node, build, gradient, input }) => [
  scatterAlong(build, input(0), node.int('axis', 0), input(1), gradient, node.name),
];

export const gatherElementsRule: Rule = ({ node, build, gradient, input }) => [
  build.call('ScatterElements', [zerosLike(build, input(0)), input(1), gradient], {
    axis: intAttribute(node.int('axis', 0)),
    ...addUp,
  }),
];

/**
 * Indices of a GatherND with batch axes as indices of one without: the coordinates of the batch axes stand before the
 * given ones.
 */
const withBatchCoordinates = (build: OperatorBuilder, indices: Value, batchAxes: number, node: string): Value => {
  const rank = rankOf(indices);
  if (rank === undefined) throw internalError(`the rank of ${indices.name} must be known`, { node });
  const shape = build.call('Shape', [indices], { start: intAttribute(0), end: intAttribute(rank - 1) });
  const column = build.call('Concat', [shape, build.integers([1])], { axis: intAttribute(0) });
  const coordinates = Array.from({ length: batchAxes }, (_, axis) => {
    const line = build.reshape(
      positions(build, indices, axis),
      build.integers(Array.from({ length: rank }, (_unused, at) => (at === axis ? -1 : 1))),
    );
    return build.call('Expand', [line, column]);
  });
  const given = build.call('Cast', [indices], { to: intAttribute(7) });
  return build.call('Concat', [...coordinates, given], { axis: intAttribute(-1) });
};

export const gatherNdRule: Rule = ({ node, build, gradient, input }) => {
  const batchAxes = node.int('batch_dims', 0);
  const places = batchAxes === 0 ? input(1) : withBatchCoordinates(build, input(1), batchAxes, node.name);
  return [build.call('ScatterND', [zerosLike(build, input(0)), places, gradient], addUp)];
};

/**
 * Scatter operators: `op` names the operator itself, `gather` its reading twin. Where several updates go to one place,
 * a product is shared as products are, and an extremum evenly among those that attain it.
 */
export const scatterRule =
  (op: 'ScatterElements' | 'ScatterND', gather: 'GatherElements' | 'GatherND'): Rule =>
  (context) => {
    const { node, build, gradient, input, output } = context;
    const reduction = node.text('reduction') ?? 'none';
    const axis = op === 'ScatterElements' ? { axis: intAttribute(node.int('axis', 0)) } : {};
    const [data, places, updates] = [input(0), input(1), input(2)];
    const read = (value: Value): Value => build.typed(build.call(gather, [value, places], axis), updates.type);
    if (reduction === 'none' || reduction === 'add')
      return [
        reduction === 'add' ? gradient : build.call(op, [gradient, places, zerosLike(build, updates)], axis),
        undefined,
        context.wants(2) ? read(gradient) : undefined,
      ];
    if (reduction === 'mul') {
      const whole = build.multiply(gradient, output(0));
      return [build.divide(whole, data), undefined, context.wants(2) ? build.divide(read(whole), updates) : undefined];
    }
    const hit = build.castLike(build.call('Equal', [data, output(0)]), data);
    const hits = build.castLike(build.call('Equal', [updates, read(output(0))]), updates);
    const ties = build.call(op, [hit, places, hits], { ...axis, ...addUp });
    const one = build.scalarLike(1, data);
    const share = build.divide(gradient, build.call('Max', [ties, one]));
    return [build.multiply(share, hit), undefined, context.wants(2) ? build.multiply(read(share), hits) : undefined];
  };

/** Axes of a Slice or Pad given by constants, or all of them. */
const axesOf = (context: RuleContext, index: number): number[] => {
  const rank = rankOf(context.input(0));
  if (rank === undefined) throw internalError('the rank must be known', { node: context.node.name });
  const given = constantIntegers(context.node, index);
  if (context.node.inputs[index] && !given)
    throw new CompressError({
      code: 'unsupported',
      message: `the axes of ${context.node.op} are computed, and a gradient is known only for constant ones`,
      where: { node: context.node.name },
      hint: 'Fix the sizes of the inputs, so that the axes can be folded into constants.',
    });
  return given?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? Array.from({ length: rank }, (_, axis) => axis);
};

/** 0, 1, … length of `value` along `axis` less one, as an int64 vector. */
const positions = (build: OperatorBuilder, value: Value, axis: number): Value => {
  const length = build.call('Shape', [value], { start: intAttribute(axis), end: intAttribute(axis + 1) });
  return build.typed(
    build.call('Range', [
      build.scalar(0, 'int64'),
      build.call('Squeeze', [length, build.integers([0])]),
      build.scalar(1, 'int64'),
    ]),
    { kind: 'tensor', dtype: 'int64', shape: [null] },
  );
};

/**
 * Pads of some axes as pads of all. Pad can be told the axes, but onnxruntime loses them when it moves a Transpose past
 * such a Pad.
 */
const padsOfAll = (build: OperatorBuilder, pads: Value, axes: readonly number[], rank: number): Value =>
  build.call('ScatterElements', [
    build.integers(new Array<number>(2 * rank).fill(0)),
    build.integers([...axes, ...axes.map((axis) => axis + rank)]),
    pads,
  ]);

/** A Slice with steps of 1 is undone by padding with zeros. */
const padSlice = ({ node, build, gradient, input }: RuleContext, axes: readonly number[]): Value => {
  const pick = (shape: Value): Value => build.call('Gather', [shape, build.integers(axes)], { axis: intAttribute(0) });
  const lengths = pick(build.call('Shape', [input(0)]));
  const starts = build.call('Cast', [input(1)], { to: intAttribute(7) });
  const zero = build.integers([0]);
  const fromEnd = build.call('Where', [build.call('Less', [starts, zero]), build.add(starts, lengths), starts]);
  const before = build.call('Min', [build.call('Max', [fromEnd, zero]), lengths]);
  const after = build.subtract(build.subtract(lengths, before), pick(build.call('Shape', [gradient])));
  const pads = build.call('Concat', [before, after], { axis: intAttribute(0) });
  const rank = rankOf(input(0))!;
  return build.typed(build.call('Pad', [gradient, padsOfAll(build, pads, axes, rank)]), node.inputs[0]!.type);
};

/**
 * Slice along one axis after the other: the same slice of the axis' positions says where every element came from.
 * Axes are undone in reverse; `partial` holds the value before each axis was sliced.
 */
export const sliceRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const axes = axesOf(context, 3);
  if (!node.inputs[4] || constantIntegers(node, 4)?.every((step) => step === 1)) return [padSlice(context, axes)];
  const part = (index: number, order: number): Value | undefined => {
    const whole = node.inputs[index];
    if (!whole) return undefined;
    return build.call('Slice', [whole, build.integers([order]), build.integers([order + 1]), build.integers([0])]);
  };
  const stages: { like: Value; axis: number; places: Value }[] = [];
  let value = input(0);
  axes.forEach((axis, order) => {
    const bounds = [part(1, order), part(2, order)];
    const steps = part(4, order);
    const places = build.call('Slice', [positions(build, value, axis), ...bounds, build.integers([0]), steps]);
    build.typed(places, { kind: 'tensor', dtype: 'int64', shape: [null] });
    stages.push({ like: value, axis, places });
    if (order < axes.length - 1) {
      value = build.call('Slice', [value, ...bounds, build.integers([axis]), steps]);
      value.type = {
        kind: 'tensor',
        dtype: (input(0).type as { dtype: 'float32' }).dtype,
        shape: Array.from({ length: rankOf(input(0))! }, () => null),
      };
    }
  });
  return [
    stages.reduceRight(
      (updates, { like, axis, places }) => scatterAlong(build, like, axis, places, updates, node.name),
      gradient,
    ),
  ];
};

/** Pad: constant padding is cut off again; other modes add every copy back to where it came from. */
export const padRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const axes = axesOf(context, 3);
  const mode = node.text('mode') ?? 'constant';
  const x = input(0);
  const half = axes.length;
  const padAt = (order: number): Value =>
    build.call('Gather', [input(1), build.integers([order, order + half])], { axis: intAttribute(0) });
  if (mode === 'constant') {
    const starts = build.call('Slice', [input(1), build.integers([0]), build.integers([half]), build.integers([0])]);
    const lengths = build.call('Gather', [build.call('Shape', [x]), build.integers(axes)], { axis: intAttribute(0) });
    return [build.call('Slice', [gradient, starts, build.add(starts, lengths), build.integers(axes)])];
  }
  const shapeType = {
    kind: 'tensor',
    dtype: (x.type as { dtype: 'float32' }).dtype,
    shape: Array.from({ length: rankOf(x)! }, () => null),
  } as const;
  let updates = gradient;
  let remaining = [...axes.keys()];
  for (const order of [...axes.keys()].reverse()) {
    remaining = remaining.filter((other) => other !== order);
    const axis = axes[order]!;
    const places = build.call('Pad', [positions(build, x, axis), padAt(order)], { mode: textAttribute(mode) });
    build.typed(places, { kind: 'tensor', dtype: 'int64', shape: [null] });
    const like =
      remaining.length === 0
        ? x
        : build.call(
            'Pad',
            [
              x,
              padsOfAll(
                build,
                build.call(
                  'Gather',
                  [input(1), build.integers([...remaining, ...remaining.map((other) => other + half)])],
                  { axis: intAttribute(0) },
                ),
                remaining.map((other) => axes[other]!),
                rankOf(x)!,
              ),
            ],
            { mode: textAttribute(mode) },
          );
    if (like !== x) like.type = shapeType;
    updates = scatterAlong(build, like, axis, places, updates, node.name);
  }
  return [updates];
};
