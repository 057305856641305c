import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';
import type { DistributionLoss } from './loss.ts';
import { weightedMean } from './weighted-mean.ts';

/** -log p(label), from log-probabilities (…, classes) and labels (…) int64. */
const negativeLogLikelihood = (build: OperatorBuilder, logits: Value, labels: Value): Value => {
  const last = build.integers([-1]);
  const logProbabilities = build.call('LogSoftmax', [logits], { axis: intAttribute(-1) });
  const taken = build.call('GatherElements', [logProbabilities, build.call('Unsqueeze', [labels, last])], {
    axis: intAttribute(-1),
  });
  return build.negate(build.call('Squeeze', [taken, last]));
};

/**
 * Mean of -log p(label) over the positions with weight: Σ w·(-log softmax(logits)[label]) / Σ w.
 * @param logits (…, classes)
 * @param labels (…) int64, 0 ≤ label < classes also where the weight is 0
 * @param weights (…) of the logits' element type
 * @returns a scalar in nats
 */
export const crossEntropy = (build: OperatorBuilder, logits: Value, labels: Value, weights: Value): Value =>
  weightedMean(
    build,
    negativeLogLikelihood(build, logits, labels),
    weights,
    build.call('ReduceSum', [weights], { keepdims: intAttribute(0) }),
  );

/** The labels of the data: next tokens, classes. The temperature plays no part. */
export const crossEntropyLoss: DistributionLoss = {
  name: 'cross-entropy',
  summary: 'minus the log-probability of the labels of the data',
  needs: 'labels',
  rows: ({ build, student, labels }) => negativeLogLikelihood(build, student, labels),
};
