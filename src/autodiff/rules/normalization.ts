import { internalError } from '../../errors.ts';
import { dtypeOf, type OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, Value } from '../../ir/graph.ts';
import { tensorType } from '../../ir/shape.ts';
import { expandLike, rankOf, shapeOf, sumToShapeOf } from '../broadcast.ts';
import type { Rule, RuleContext } from '../rule.ts';

const rankOfInput = ({ node, input }: RuleContext): number => {
  const rank = rankOf(input(0));
  if (rank === undefined) throw internalError(`the rank of ${input(0).name} must be known`, { node: node.name });
  return rank;
};

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

const mean = (build: OperatorBuilder, x: Value, axes: readonly number[]): Value =>
  build.call('ReduceMean', [x, build.integers(axes)], { keepdims: intAttribute(1) });

/** 1/√(variance + ε). */
const inverseRoot = (build: OperatorBuilder, variance: Value, epsilon: number): Value =>
  build.call('Reciprocal', [build.call('Sqrt', [build.add(variance, build.scalarLike(epsilon, variance))])]);

/** Centred and divided by the standard deviation over `axes`; also 1/σ. */
const standardise = (
  build: OperatorBuilder,
  x: Value,
  axes: readonly number[],
  epsilon: number,
): [normal: Value, inverse: Value] => {
  const centred = build.subtract(x, mean(build, x, axes));
  const inverse = inverseRoot(build, mean(build, build.multiply(centred, centred), axes), epsilon);
  return [build.multiply(centred, inverse), inverse];
};

/** Adjoint of standardising: (1/σ)(h - mean h - n·mean(h∘n)). */
const unstandardise = (
  build: OperatorBuilder,
  h: Value,
  normal: Value,
  inverse: Value,
  axes: readonly number[],
): Value => {
  const along = build.multiply(normal, mean(build, build.multiply(h, normal), axes));
  return build.multiply(inverse, build.subtract(build.subtract(h, mean(build, h, axes)), along));
};

/** The axes from the node's `axis` on. */
const lastAxes = (context: RuleContext): number[] => {
  const rank = rankOfInput(context);
  const axis = context.node.int('axis', -1);
  return range(axis < 0 ? axis + rank : axis, rank);
};

/** A statistic that the operator keeps of the way forward (single precision only): its output `index`. */
const kept = ({ node, input }: RuleContext, index: number, axes: readonly number[]): Value | undefined => {
  const shape = shapeOf(input(0));
  const known = node.outputs[index];
  if (known) return known;
  if (dtypeOf(input(0)) !== 'float32' || !shape) return undefined;
  const statistic = new Value(
    `${node.outputs[0]!.name}.statistic${index}`,
    tensorType(
      'float32',
      shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim)),
    ),
  );
  node.setOutput(index, statistic);
  return statistic;
};

/** A norm's statistics: outputs of the node by number, and 1/σ and the normalised input as values. */
interface Statistics {
  readonly mean?: number;
  readonly inverse: number;
  readonly normal: Value;
  readonly inverseRoot: Value;
}

/** What the gradients of the kept statistics add (they have some when gradients are differentiated again). */
const throughStatistics = (
  { build, gradients, input }: RuleContext,
  { mean: average, inverse, normal, inverseRoot: root }: Statistics,
): Value | undefined => {
  const forMean = average === undefined ? undefined : gradients[average];
  const forInverse = gradients[inverse];
  const slope = (): Value => build.multiply(build.multiply(root, root), normal);
  const parts = [
    ...(forMean ? [forMean] : []),
    ...(forInverse ? [build.negate(build.multiply(forInverse, slope()))] : []),
  ];
  if (parts.length === 0) return undefined;
  const sum = parts.length === 2 ? build.add(parts[0]!, parts[1]!) : parts[0]!;
  const count = build.divide(build.call('Size', [input(0)]), build.call('Size', [root]));
  return expandLike(build, build.divide(sum, build.castLike(count, input(0))), input(0));
};

const sumOf = (build: OperatorBuilder, a: Value | undefined, b: Value | undefined): Value | undefined =>
  a && b ? build.add(a, b) : (a ?? b);

/** LayerNormalization over the axes from `axis` on (Ba, Kiros, Hinton 2016), with gain and bias. */
export const layerNormalizationRule: Rule = (context) => {
  const { node, build, gradients, input, output } = context;
  const axes = lastAxes(context);
  const x = input(0);
  const average = kept(context, 1, axes);
  const saved = kept(context, 2, axes);
  const [normal, inverse] =
    average && saved
      ? [build.multiply(build.subtract(x, average), saved), saved]
      : standardise(build, x, axes, node.float('epsilon', 1e-5));
  const [gradient] = gradients;
  const forX = (): Value | undefined =>
    sumOf(
      build,
      gradient && unstandardise(build, build.multiply(gradient, input(1)), normal, inverse, axes),
      throughStatistics(context, { mean: 1, inverse: 2, normal, inverseRoot: inverse }),
    );
  const toParameter = (value: Value, index: number): Value => sumToShapeOf(build, value, output(0), input(index));
  return [
    context.wants(0) ? forX() : undefined,
    context.wants(1) && gradient ? toParameter(build.multiply(gradient, normal), 1) : undefined,
    context.wants(2) && gradient ? toParameter(gradient, 2) : undefined,
  ];
};

/** RMSNormalization and onnxruntime's SimplifiedLayerNormalization: x·g/√(mean x² + ε) (Zhang, Sennrich 2019). */
export const rmsNormalizationRule: Rule = (context) => {
  const { node, build, gradients, input, output } = context;
  const axes = lastAxes(context);
  const [x, gain] = [input(0), input(1)];
  const saved = node.op === 'SimplifiedLayerNormalization' ? kept(context, 1, axes) : undefined;
  const inverse = saved ?? inverseRoot(build, mean(build, build.multiply(x, x), axes), node.float('epsilon', 1e-5));
  const normal = build.multiply(x, inverse);
  const [gradient] = gradients;
  const direct = (): Value | undefined => {
    if (!gradient) return undefined;
    const h = build.multiply(gradient, gain);
    const along = build.multiply(normal, mean(build, build.multiply(h, normal), axes));
    return build.typed(build.multiply(inverse, build.subtract(h, along)), x.type);
  };
  const forX = (): Value | undefined =>
    sumOf(build, direct(), throughStatistics(context, { inverse: 1, normal, inverseRoot: inverse }));
  return [
    context.wants(0) ? forX() : undefined,
    context.wants(1) && gradient ? sumToShapeOf(build, build.multiply(gradient, normal), output(0), gain) : undefined,
  ];
};

/** A vector over channels (axis 1), shaped to broadcast over (batch, channels, positions…). */
const asChannels = (build: OperatorBuilder, vector: Value, rank: number): Value =>
  build.reshape(vector, build.integers([1, -1, ...range(2, rank).map(() => 1)]));

/** All axes but the channels'. */
const besideChannels = (rank: number): number[] => [0, ...range(2, rank)];

/** BatchNormalization: with running statistics at inference, with the batch's own in training (Ioffe, Szegedy 2015). */
export const batchNormalizationRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const rank = rankOfInput(context);
  const epsilon = node.float('epsilon', 1e-5);
  const axes = besideChannels(rank);
  const gain = asChannels(build, input(1), rank);
  const training = node.int('training_mode', 0) === 1;
  const running = (): [Value, Value] => {
    const inverse = inverseRoot(build, asChannels(build, input(4), rank), epsilon);
    return [build.multiply(build.subtract(input(0), asChannels(build, input(3), rank)), inverse), inverse];
  };
  const [normal, inverse] = training ? standardise(build, input(0), axes, epsilon) : running();
  const scaled = build.multiply(gradient, gain);
  const overChannels = (value: Value): Value => build.typed(build.sumOver(value, axes, 'drop'), input(1).type);
  return [
    context.wants(0)
      ? training
        ? unstandardise(build, scaled, normal, inverse, axes)
        : build.multiply(scaled, inverse)
      : undefined,
    context.wants(1) ? overChannels(build.multiply(gradient, normal)) : undefined,
    context.wants(2) ? overChannels(gradient) : undefined,
  ];
};

/** InstanceNormalization: each channel of each item over its positions (Ulyanov, Vedaldi, Lempitsky 2016). */
export const instanceNormalizationRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const rank = rankOfInput(context);
  const axes = range(2, rank);
  const [normal, inverse] = standardise(build, input(0), axes, node.float('epsilon', 1e-5));
  const scaled = build.multiply(gradient, asChannels(build, input(1), rank));
  return [
    context.wants(0) ? unstandardise(build, scaled, normal, inverse, axes) : undefined,
    context.wants(1) ? build.sumOver(build.multiply(gradient, normal), besideChannels(rank), 'drop') : undefined,
    context.wants(2) ? build.sumOver(gradient, besideChannels(rank), 'drop') : undefined,
  ];
};

/** GroupNormalization (opset 21: gain and bias a channel): channels split in groups, each normalised with its positions. */
export const groupNormalizationRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const rank = rankOfInput(context);
  const groups = node.int('num_groups', 1);
  const grouped = (value: Value): Value => build.reshape(value, build.integers([0, groups, -1]));
  const [normal, inverse] = standardise(build, grouped(input(0)), [2], node.float('epsilon', 1e-5));
  const scaled = grouped(build.multiply(gradient, asChannels(build, input(1), rank)));
  return [
    context.wants(0) ? build.reshapeLike(unstandardise(build, scaled, normal, inverse, [2]), input(0)) : undefined,
    context.wants(1)
      ? build.sumOver(build.multiply(gradient, build.reshapeLike(normal, input(0))), besideChannels(rank), 'drop')
      : undefined,
    context.wants(2) ? build.sumOver(gradient, besideChannels(rank), 'drop') : undefined,
  ];
};

/** Local response normalisation over neighbouring channels (AlexNet, section 3.3). */
export const localResponseRule: Rule = (context) => {
  const { node, build, gradient, input, output } = context;
  const [x, y] = [input(0), output(0)];
  const rank = rankOfInput(context);
  const size = node.int('size', 1);
  const [alpha, beta, bias] = [node.float('alpha', 1e-4), node.float('beta', 0.75), node.float('bias', 1)];
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
  /** Sum over the window of channels: a difference of running sums of the padded tensor. */
  const windowSum = (value: Value, front: number, back: number): Value => {
    const pads = build.integers([
      0,
      front + 1,
      ...range(2, rank).map(() => 0),
      0,
      back,
      ...range(2, rank).map(() => 0),
    ]);
    const running = build.call('CumSum', [build.call('Pad', [value, pads]), build.scalar(1, 'int64')]);
    const cut = (from: number, to: number): Value =>
      build.call('Slice', [running, build.integers([from]), build.integers([to]), build.integers([1])]);
    return build.subtract(cut(size, Number.MAX_SAFE_INTEGER), cut(0, -size));
  };
  const base = build.add(
    build.scale(windowSum(build.multiply(x, x), before, after), alpha / size),
    build.scalarLike(bias, x),
  );
  const direct = build.multiply(gradient, build.call('Pow', [base, build.scalarLike(-beta, x)]));
  const shared = windowSum(build.divide(build.multiply(gradient, y), base), after, before);
  return [build.subtract(direct, build.scale(build.multiply(x, shared), (2 * alpha * beta) / size))];
};
