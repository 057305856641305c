import type { OperatorBuilder } from '../../ir/build.ts';
import { dtypeOf } from '../../ir/build.ts';
import { intAttribute, type Node, type Value } from '../../ir/graph.ts';
import { tensorType } from '../../ir/shape.ts';
import { type Decomposition, inputNeeded } from './decomposition.ts';

/** Negative log likelihood of labels (batch, positions…) under log probabilities (batch, classes, positions…). */
const likelihoodLoss = (node: Node, build: OperatorBuilder, logarithms: Value): Value => {
  const given = inputNeeded(node, 1);
  const ignored = node.int('ignore_index');
  const dtype = dtypeOf(given);
  const isIgnored = ignored === undefined ? undefined : build.call('Equal', [given, build.scalar(ignored, dtype)]);
  const labels = isIgnored ? build.call('Where', [isIgnored, build.scalar(0, dtype), given]) : given;
  const axis = build.integers([1]);
  const places = build.call('Unsqueeze', [labels, axis]);
  const picked = build.call('Squeeze', [
    build.call('GatherElements', [logarithms, places], { axis: intAttribute(1) }),
    axis,
  ]);
  const classWeights = node.inputs[2];
  const one = build.scalarLike(1, logarithms);
  const base = classWeights ? build.call('Gather', [classWeights, labels]) : undefined;
  const kept = isIgnored && build.call('Where', [isIgnored, build.scalarLike(0, logarithms), one]);
  const weights = base && kept ? build.multiply(base, kept) : (base ?? kept);
  const losses = build.negate(weights ? build.multiply(weights, picked) : picked);
  const reduction = node.text('reduction') ?? 'mean';
  const whole = (value: Value): Value =>
    build.typed(build.call('ReduceSum', [value], { keepdims: intAttribute(0) }), tensorType(dtypeOf(logarithms), []));
  if (reduction === 'none') return losses;
  if (reduction === 'sum') return whole(losses);
  const count = weights
    ? whole(build.call('Expand', [weights, build.call('Shape', [losses])]))
    : build.castLike(build.call('Size', [losses]), logarithms);
  return build.divide(whole(losses), count);
};

/** NegativeLogLikelihoodLoss of the standard operator set. */
export const negativeLogLikelihood: Decomposition = (node, build) => [
  likelihoodLoss(node, build, inputNeeded(node, 0)),
];

/** SoftmaxCrossEntropyLoss of the standard operator set; its second output are the log probabilities. */
export const softmaxCrossEntropy: Decomposition = (node, build) => {
  const logarithms = build.call('LogSoftmax', [inputNeeded(node, 0)], { axis: intAttribute(1) });
  return [likelihoodLoss(node, build, logarithms), logarithms];
};
