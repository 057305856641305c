import { internalError } from '../../errors.ts';
import { dtypeOf, type OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';
import { tensorType } from '../../ir/shape.ts';
import { rankOf, shapeOf, sumToShapeOf } from '../broadcast.ts';
import type { Rule } from '../rule.ts';

const rankNeeded = (value: Value, node: string): number => {
  const rank = rankOf(value);
  if (rank === undefined) throw internalError(`the rank of ${value.name} must be known to differentiate`, { node });
  return rank;
};

/** Swaps the last two axes. */
const swapLast = (build: OperatorBuilder, value: Value, rank: number): Value => {
  const permutation = Array.from({ length: rank }, (_, axis) => axis);
  [permutation[rank - 2], permutation[rank - 1]] = [rank - 1, rank - 2];
  return build.transpose(value, permutation);
};

/** The length of the last axis where it is known. */
const widthOf = (value: Value): number | undefined => {
  const width = shapeOf(value)?.at(-1);
  return typeof width === 'number' ? width : undefined;
};

/** The shape of a matrix with the length of a value's last axis along `axis`; the other length follows. */
const matrixShape = (build: OperatorBuilder, value: Value, axis: 'rows' | 'columns'): Value => {
  const width = widthOf(value);
  if (width !== undefined) return build.integers(axis === 'rows' ? [width, -1] : [-1, width]);
  const any = build.integers([-1]);
  const last = build.call('Shape', [value], { start: intAttribute(-1) });
  return build.call('Concat', axis === 'rows' ? [last, any] : [any, last], { axis: intAttribute(0) });
};

/** All axes but the last one as rows: (rows, last). */
const asRows = (build: OperatorBuilder, value: Value): Value =>
  build.reshape(value, matrixShape(build, value, 'columns'));

/**
 * The transpose of `asRows`: (last, rows). The last axis is moved before its value is made a matrix, since onnxruntime
 * joins a Transpose of a matrix with the product that reads it, and gathers columns of long matrices slowly there.
 */
const asColumns = (build: OperatorBuilder, value: Value, rank: number): Value => {
  const turned = build.transpose(value, [rank - 1, ...Array.from({ length: rank - 1 }, (_, axis) => axis)]);
  return build.reshape(turned, matrixShape(build, value, 'rows'));
};

/**
 * Y = A B with numpy's rules for ranks: ∂A = ∂Y Bᵀ, ∂B = Aᵀ ∂Y, summed over broadcast batch axes.
 * A matrix B under a batch of A takes one product over all rows instead of a batch of products.
 */
export const matmulRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const [a, b] = [input(0), input(1)];
  const [rankA, rankB] = [rankNeeded(a, node.name), rankNeeded(b, node.name)];
  if (rankA === 1 || rankB === 1) return vectorRule(context, rankA, rankB);
  const wide = context.output(0);
  const forA = (): Value => {
    const product = build.call('MatMul', [gradient, swapLast(build, b, rankB)]);
    return rankB === 2 ? product : sumBatch(build, product, a, wide);
  };
  const forB = (): Value => {
    if (rankB === 2 && rankA > 2) return overAllRows(build, a, gradient, rankA);
    if (rankA === rankB && rankA > 2 && isWide(a, gradient))
      return sumBatch(build, turnedProduct(build, a, gradient, rankA), b, wide);
    const product = build.call('MatMul', [swapLast(build, a, rankA), gradient]);
    return rankA === 2 && rankB === 2 ? product : sumBatch(build, product, b, wide);
  };
  return [context.wants(0) ? forA() : undefined, context.wants(1) ? forB() : undefined];
};

/** Products of fewer rows than this are slower than turning a wide factor. */
const fewestRows = 16;

/** Whether A has more columns than ∂Y: positions, whose number only the data tell, are more than channels. */
const isWide = (a: Value, gradient: Value): boolean => {
  const [columns, width] = [widthOf(a), widthOf(gradient)];
  return width !== undefined && width >= fewestRows && (columns === undefined || columns > width);
};

/** Aᵀ ∂Y as (∂Yᵀ A)ᵀ, which turns the two narrow ones instead of the wide one. */
const turnedProduct = (build: OperatorBuilder, a: Value, gradient: Value, rank: number): Value =>
  swapLast(build, build.call('MatMul', [swapLast(build, gradient, rank), a]), rank);

/** Aᵀ ∂Y over the rows of all batches; the narrower of the two is turned. */
const overAllRows = (build: OperatorBuilder, a: Value, gradient: Value, rank: number): Value => {
  const [inner, outer] = [widthOf(a), widthOf(gradient)];
  if (inner === undefined || outer === undefined || inner <= outer)
    return build.call('MatMul', [asColumns(build, a, rank), asRows(build, gradient)]);
  const turned = build.call('MatMul', [asColumns(build, gradient, rank), asRows(build, a)]);
  return build.transpose(build.typed(turned, tensorType(dtypeOf(a), [outer, inner])), [1, 0]);
};

/** Sums a (batch…, m, n) gradient down to a factor whose batch axes were broadcast to those of `wide`. */
const sumBatch = (build: OperatorBuilder, product: Value, factor: Value, wide: Value): Value => {
  const [wideShape, own] = [shapeOf(wide), shapeOf(factor)];
  if (wideShape && own) product.type = tensorType(dtypeOf(factor), [...wideShape.slice(0, -2), ...own.slice(-2)]);
  return sumToShapeOf(build, product, product, factor);
};

/** One factor is a vector: both are made matrices, and the result is reshaped back. */
const vectorRule = (context: Parameters<Rule>[0], rankA: number, rankB: number): readonly (Value | undefined)[] => {
  const { build, gradient, input } = context;
  const [a, b] = [input(0), input(1)];
  const matrixA = rankA === 1 ? build.call('Unsqueeze', [a, build.integers([0])]) : a;
  const matrixB = rankB === 1 ? build.call('Unsqueeze', [b, build.integers([1])]) : b;
  const axes = [...(rankA === 1 ? [-2] : []), ...(rankB === 1 ? [-1] : [])];
  const matrixGradient = build.call('Unsqueeze', [gradient, build.integers(axes)]);
  const forA = (): Value => {
    const product = build.call('MatMul', [matrixGradient, swapLast(build, matrixB, Math.max(rankB, 2))]);
    return build.reshapeLike(sumToShapeOf(build, product, product, matrixA), a);
  };
  const forB = (): Value => {
    const product = build.call('MatMul', [swapLast(build, matrixA, Math.max(rankA, 2)), matrixGradient]);
    return build.reshapeLike(sumToShapeOf(build, product, product, matrixB), b);
  };
  return [context.wants(0) ? forA() : undefined, context.wants(1) ? forB() : undefined];
};

/** Y = α op(A) op(B) + β C. */
export const gemmRule: Rule = (context) => {
  const { node, build, gradient, input } = context;
  const [transA, transB] = [node.int('transA', 0) === 1, node.int('transB', 0) === 1];
  const [alpha, beta] = [node.float('alpha', 1), node.float('beta', 1)];
  const flip = (value: Value): Value => build.transpose(value, [1, 0]);
  const scaled = alpha === 1 ? gradient : build.scale(gradient, alpha);
  const forA = (): Value => {
    const b = transB ? input(1) : flip(input(1));
    return transA ? build.call('MatMul', [flip(b), flip(scaled)]) : build.call('MatMul', [scaled, b]);
  };
  const forB = (): Value => {
    const a = transA ? input(0) : flip(input(0));
    return transB ? build.call('MatMul', [flip(scaled), flip(a)]) : build.call('MatMul', [a, scaled]);
  };
  const forC = (): Value =>
    sumToShapeOf(build, beta === 1 ? gradient : build.scale(gradient, beta), context.output(0), input(2));
  return [
    context.wants(0) ? forA() : undefined,
    context.wants(1) ? forB() : undefined,
    context.wants(2) ? forC() : undefined,
  ];
};
