import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';

/** Σ weights·rows / total, a scalar. @param rows (…) and weights (…) alike, total a scalar above zero */
export const weightedMean = (build: OperatorBuilder, rows: Value, weights: Value, total: Value): Value => {
  const sum = build.call('ReduceSum', [build.multiply(rows, weights)], { keepdims: intAttribute(0) });
  return build.divide(sum, total);
};
