import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';

/**
 * Mean of -log p(label) over the positions with weight: Σ w·(-log softmax(logits)[label]) / Σ w.
 * @param logits (…, classes)
 * @param labels (…) int64, 0 ≤ label < classes also where the weight is 0
 * @param weights (…) of the logits' element type
 * @returns a scalar in nats
 */
export const crossEntropy = (build: OperatorBuilder, logits: Value, labels: Value, weights: Value): Value => {
  const last = build.integers([-1]);
  const logProbabilities = build.call('LogSoftmax', [logits], { axis: intAttribute(-1) });
  const taken = build.call('GatherElements', [logProbabilities, build.call('Unsqueeze', [labels, last])], {
    axis: intAttribute(-1),
  });
  const weighted = build.multiply(build.call('Squeeze', [taken, last]), weights);
  const total = build.call('ReduceSum', [weighted], { keepdims: intAttribute(0) });
  return build.negate(build.divide(total, build.call('ReduceSum', [weights], { keepdims: intAttribute(0) })));
};
