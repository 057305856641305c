import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';
import { tensorType } from '../../ir/shape.ts';

/** Stands for the logarithm of a chance that is not counted. */
const nothing = -1e9;

/**
 * Scores of the student (rows, classes) as logarithms of the chances of the kept classes and, last, of all others
 * together: (rows, kept + 1). A teacher of which only the greatest chances were stored is compared with these.
 * @param classes (rows, kept) int64, each class at most once a row.
 */
export const keptClasses = (
  build: OperatorBuilder,
  scores: Value,
  classes: Value,
  { kept, temperature }: { readonly kept: number; readonly temperature: number },
): Value => {
  const axis = { axis: intAttribute(-1) };
  const scaled = temperature === 1 ? scores : build.scale(scores, 1 / temperature);
  const logarithms = build.call('LogSoftmax', [scaled], axis);
  const own = build.typed(
    build.call('GatherElements', [logarithms, classes], axis),
    tensorType('float32', [null, kept]),
  );
  const blank = build.call('Expand', [build.scalarLike(nothing, scores), build.call('Shape', [classes])]);
  const others = build.call('ScatterElements', [logarithms, classes, build.typed(blank, tensorType('float32'))], axis);
  const rest = build.call('ReduceLogSumExp', [others, build.integers([-1])], { keepdims: intAttribute(1) });
  const joined = build.call('Concat', [own, build.typed(rest, tensorType('float32', [null, 1]))], axis);
  return build.typed(joined, tensorType('float32', [null, kept + 1]));
};
