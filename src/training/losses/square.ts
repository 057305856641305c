import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, intsAttribute, type Value } from '../../ir/graph.ts';
import { type Shape, tensorType } from '../../ir/shape.ts';

/**
 * How a value becomes distributions of positions over positions, (samples, heads, positions, positions): 'attention' as
 * its heads are, 'mean-attention' as the mean of its heads, 'relation' as softmax(V Vᵀ / √width) of its vectors V.
 */
export type SquareForm = 'attention' | 'mean-attention' | 'relation';

const shapeOf = (value: Value): Shape | undefined => (value.type?.kind === 'tensor' ? value.type.shape : undefined);

/** Attention of groups of heads (samples, groups, heads, positions, positions) as that of all heads. */
const joinedHeads = (build: OperatorBuilder, value: Value): Value => {
  if (shapeOf(value)?.length !== 5) return value;
  const shape = build.call('Shape', [value]);
  const part = (begin: number, end: number): Value =>
    build.call('Slice', [shape, build.integers([begin]), build.integers([end])]);
  const joined = build.call('Concat', [part(0, 1), build.integers([-1]), part(3, 5)], { axis: intAttribute(0) });
  return build.reshape(value, joined);
};

const squareType = tensorType('float32', [null, null, null, null]);

/** Distributions of one value: of the student and, appended to its own graph, of the teacher. */
export const squareOf = (build: OperatorBuilder, value: Value, form: SquareForm): Value => {
  if (form === 'relation') {
    const width = Number(shapeOf(value)?.at(-1) ?? 1);
    const gram = build.call('MatMul', [value, build.call('Transpose', [value], { perm: intsAttribute([0, 2, 1]) })]);
    const scaled = build.typed(build.scale(gram, 1 / Math.sqrt(width)), tensorType('float32', [null, null, null]));
    const chances = build.call('Softmax', [scaled], { axis: intAttribute(-1) });
    return build.typed(build.call('Unsqueeze', [chances, build.integers([1])]), squareType);
  }
  const heads = joinedHeads(build, value);
  if (form === 'attention') return build.typed(heads, squareType);
  const mean = build.call('ReduceMean', [heads, build.integers([1])], { keepdims: intAttribute(1) });
  return build.typed(mean, squareType);
};

const smallest = 1e-9;

/**
 * KL(teacher ‖ student) of each position's distribution, mean over heads and present positions (Wang et al. 2020, MiniLM,
 * section 3.1): a scalar.
 * @param student and @param teacher (samples, heads, positions, positions)
 * @param presence (samples, positions), @param total its sum over the whole batch
 */
export const squareLoss = (
  build: OperatorBuilder,
  student: Value,
  teacher: Value,
  [presence, total]: readonly [Value, Value],
): Value => {
  const logarithm = (value: Value): Value =>
    build.call('Log', [build.call('Max', [value, build.scalarLike(smallest, value)])]);
  const rows = build.sumOver(
    build.multiply(teacher, build.subtract(logarithm(teacher), logarithm(student))),
    [-1],
    'drop',
  );
  const mean = build.call('ReduceMean', [rows, build.integers([1])], { keepdims: intAttribute(0) });
  const weighed = build.typed(build.multiply(mean, presence), tensorType('float32', [null, null]));
  return build.divide(build.call('ReduceSum', [weighed], { keepdims: intAttribute(0) }), total);
};
