import type { OperatorBuilder } from '../ir/build.ts';
import { intAttribute, type Value } from '../ir/graph.ts';
import type { Shape } from '../ir/shape.ts';

/** The shape of a tensor value as far as inference knows it. */
export const shapeOf = (value: Value): Shape | undefined =>
  value.type?.kind === 'tensor' ? value.type.shape : undefined;

/** The rank of a tensor value, or undefined. */
export const rankOf = (value: Value): number | undefined => shapeOf(value)?.length;

/**
 * Axes of `wide` over which `narrow` was broadcast (numpy rules), or undefined where the shapes do not tell:
 * an unknown dimension may or may not be 1.
 */
const broadcastAxes = (wide: Shape, narrow: Shape): number[] | undefined => {
  const missing = wide.length - narrow.length;
  if (missing < 0) return undefined;
  const axes: number[] = Array.from({ length: missing }, (_, axis) => axis);
  for (let axis = missing; axis < wide.length; axis++) {
    const [large, small] = [wide[axis], narrow[axis - missing]];
    if (small === large && small !== null) continue;
    if (small === 1) axes.push(axis);
    else if (small === null || typeof small === 'string') return undefined;
  }
  return axes;
};

/**
 * The adjoint of broadcasting: sums `gradient` (of the shape of `wide`) down to the shape of `narrow`.
 * Where the shapes are not known statically the axes are found when the graph runs.
 */
export const sumToShapeOf = (build: OperatorBuilder, gradient: Value, wide: Value, narrow: Value): Value => {
  const [wideShape, narrowShape] = [shapeOf(wide), shapeOf(narrow)];
  const axes = wideShape && narrowShape ? broadcastAxes(wideShape, narrowShape) : undefined;
  if (!axes) return build.typed(sumDynamically(build, gradient, narrow), narrow.type);
  if (axes.length === 0) return gradient;
  const missing = wideShape!.length - narrowShape!.length;
  if (axes.length === missing)
    return build.typed(
      build.call('ReduceSum', [gradient, build.integers(axes)], { keepdims: intAttribute(0) }),
      narrow.type,
    );
  const summed = build.call('ReduceSum', [gradient, build.integers(axes)], { keepdims: intAttribute(1) });
  return build.typed(
    missing === 0 ? summed : build.call('Squeeze', [summed, build.integers(axes.filter((axis) => axis < missing))]),
    narrow.type,
  );
};

/** Axes are those where the narrow shape, padded with ones in front, differs from the gradient's. */
const sumDynamically = (build: OperatorBuilder, gradient: Value, narrow: Value): Value => {
  const wideShape = build.call('Shape', [gradient]);
  const narrowShape = build.call('Shape', [narrow]);
  const missing = build.call('Sub', [build.call('Size', [wideShape]), build.call('Size', [narrowShape])]);
  const ones = build.call('Expand', [build.integers([1]), build.call('Reshape', [missing, build.integers([1])])]);
  const padded = build.call('Concat', [ones, narrowShape], { axis: intAttribute(0) });
  const differs = build.call('Not', [build.call('Equal', [padded, wideShape])]);
  const axes = build.call('Reshape', [build.call('NonZero', [differs]), build.integers([-1])]);
  const summed = build.call('ReduceSum', [gradient, axes], {
    keepdims: intAttribute(1),
    noop_with_empty_axes: intAttribute(1),
  });
  return build.call('Reshape', [summed, narrowShape]);
};

/** `value` broadcast to the shape of `like`. */
export const expandLike = (build: OperatorBuilder, value: Value, like: Value): Value =>
  build.typed(build.call('Expand', [value, build.call('Shape', [like])]), like.type);
