import { divideDimsExactly, multiplyDims, productOfDims, sameDim } from '../dimension.ts';
import { type Dim, formatShape, isStatic, type Shape } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { tensorFact } from './fact.ts';
import { flattenedShape } from './matmul.ts';
import { unknownDims } from './shapes.ts';

/** Operators that keep the elements in their order: contents go through unchanged. */

/** Target with 0 (as in the input) and one -1 (the rest) resolved. */
const resolvedTarget = (call: Call, x: Shape | undefined, target: readonly Dim[]): Shape => {
  const zeroIsZero = call.node.int('allowzero', 0) === 1;
  const copied = target.map((dim, axis): Dim => {
    if (dim !== 0 || zeroIsZero) return dim;
    if (x && axis >= x.length) call.problem(`target [${target.join(', ')}] copies axis ${axis} of ${formatShape(x)}`);
    return x?.[axis] ?? null;
  });
  const open = copied.indexOf(-1);
  if (open < 0) {
    checkCount(call, x, copied);
    return fillOneUnknown(x, copied);
  }
  if (copied.indexOf(-1, open + 1) >= 0) call.problem(`target [${target.join(', ')}] has more than one -1`);
  return copied.map((dim, axis) => (axis === open ? restDim(call, x, copied, open) : dim));
};

const checkCount = (call: Call, x: Shape | undefined, target: Shape): void => {
  if (x && sameDim(productOfDims(x), productOfDims(target)) === false)
    call.problem(`${formatShape(x)} cannot be reshaped to ${formatShape(target)}`);
};

/** The one dimension of which nothing is known, from the number of elements. */
const fillOneUnknown = (x: Shape | undefined, target: Shape): Shape => {
  const open = target.indexOf(null);
  if (!x || open < 0 || target.indexOf(null, open + 1) >= 0) return target;
  const rest = divideDimsExactly(productOfDims(x), productOfDims(target.filter((_, axis) => axis !== open)));
  return target.map((dim, axis) => (axis === open ? rest : dim));
};

const restDim = (call: Call, x: Shape | undefined, target: readonly Dim[], open: number): Dim => {
  if (!x) return null;
  let left = [...x];
  const others: Dim[] = [];
  for (const [axis, dim] of target.entries()) {
    if (axis === open) continue;
    const twin = dim === null ? -1 : left.findIndex((found) => found !== 0 && sameDim(found, dim) === true);
    if (twin >= 0) left = left.filter((_, at) => at !== twin);
    else others.push(dim);
  }
  const [count, known] = [productOfDims(left), productOfDims(others)];
  if (typeof count === 'number' && typeof known === 'number' && known !== 0 && count % known !== 0)
    call.problem(`${formatShape(x)} cannot be reshaped to [${target.map((dim) => dim ?? '?').join(', ')}]`);
  return divideDimsExactly(count, known);
};

/** The target is an attribute before opset 5. */
const reshape: Rule = (call) => {
  const target = call.node.ints('shape') ?? call.contents(1);
  if (target) return [tensorFact(call.dtype(0), resolvedTarget(call, call.shape(0), target), call.contents(0))];
  const rank = call.shape(1)?.[0];
  return [tensorFact(call.dtype(0), typeof rank === 'number' ? unknownDims(rank) : undefined)];
};

const flatten: Rule = (call) => {
  const x = call.shape(0);
  const axis = call.node.int('axis', 1);
  return [tensorFact(call.dtype(0), x && flattenedShape(x, axis < 0 ? axis + x.length : axis), call.contents(0))];
};

const squeeze: Rule = (call) => {
  const x = call.shape(0);
  const axes = call.axes(1);
  if (!x || axes === 'unknown') return [tensorFact(call.dtype(0))];
  if (axes === 'absent') {
    const certain = x.every((dim) => typeof dim === 'number');
    return [tensorFact(call.dtype(0), certain ? x.filter((dim) => dim !== 1) : undefined, call.contents(0))];
  }
  const gone = new Set(axes.map((axis) => call.axis(axis, x.length)));
  for (const axis of gone)
    if (typeof x[axis] === 'number' && x[axis] !== 1) call.problem(`axis ${axis} of ${formatShape(x)} is not 1`);
  return [
    tensorFact(
      call.dtype(0),
      x.filter((_, axis) => !gone.has(axis)),
      call.contents(0),
    ),
  ];
};

const unsqueeze: Rule = (call) => {
  const x = call.shape(0);
  const axes = call.axes(1);
  if (!x || typeof axes === 'string') return [tensorFact(call.dtype(0))];
  const rank = x.length + axes.length;
  const added = new Set(axes.map((axis) => call.axis(axis, rank)));
  if (added.size !== axes.length) call.problem(`axes [${axes.join(', ')}] name one axis twice`);
  const shape: Dim[] = [];
  let next = 0;
  for (let axis = 0; axis < rank; axis++) shape.push(added.has(axis) ? 1 : (x[next++] ?? null));
  return [tensorFact(call.dtype(0), shape, call.contents(0))];
};

const depthToSpace: Rule = (call) => {
  const x = call.shapeOfRank(0, 4);
  const block = call.node.int('blocksize', 1);
  if (!x) return [tensorFact(call.dtype(0))];
  const channels = divideDimsExactly(x[1]!, block * block);
  return [tensorFact(call.dtype(0), [x[0]!, channels, multiplyDims(x[2]!, block), multiplyDims(x[3]!, block)])];
};

const spaceToDepth: Rule = (call) => {
  const x = call.shapeOfRank(0, 4);
  const block = call.node.int('blocksize', 1);
  if (!x) return [tensorFact(call.dtype(0))];
  const halves = [divideDimsExactly(x[2]!, block), divideDimsExactly(x[3]!, block)];
  return [tensorFact(call.dtype(0), [x[0]!, multiplyDims(x[1]!, block * block), halves[0]!, halves[1]!])];
};

/** Dimensions from `start` up to `end`, as contents of a vector (attributes from opset 15). */
const shapeOf: Rule = (call) => {
  const x = call.shape(0);
  const start = call.node.int('start', 0);
  const dims = x?.slice(start, call.node.int('end'));
  return [tensorFact('int64', [dims?.length ?? null], dims)];
};

const sizeOf: Rule = (call) => {
  const x = call.shape(0);
  return [tensorFact('int64', [], [x ? productOfDims(x) : null])];
};

/** Repeats to the broadcast of the input's shape and the wished one. */
const expand: Rule = (call) => {
  const x = call.shape(0);
  const target = call.contents(1);
  if (!x || !target) {
    const rank = call.shape(1)?.[0];
    return [
      tensorFact(call.dtype(0), typeof rank === 'number' && x ? unknownDims(Math.max(rank, x.length)) : undefined),
    ];
  }
  const shape = expandedShape(call, x, target);
  const contents = call.contents(0);
  const single = contents?.length === 1 ? contents[0] : undefined;
  const repeated =
    single !== undefined && isStatic(shape) && shape.length <= 1
      ? new Array<Dim>(shape[0] ?? 1).fill(single)
      : undefined;
  return [tensorFact(call.dtype(0), shape, repeated)];
};

const expandedShape = (call: Call, x: Shape, target: readonly Dim[]): Shape => {
  const rank = Math.max(x.length, target.length);
  return Array.from({ length: rank }, (_, axis): Dim => {
    const own = axis - rank + x.length < 0 ? 1 : x[axis - rank + x.length]!;
    const wished = axis - rank + target.length < 0 ? 1 : target[axis - rank + target.length]!;
    if (own === 1) return wished;
    if (wished === 1) return own;
    if (typeof own === 'number' && typeof wished === 'number' && own !== wished)
      call.problem(`${formatShape(x)} cannot be expanded to [${target.map((dim) => dim ?? '?').join(', ')}]`);
    if (typeof own === 'number') return own;
    return typeof wished === 'number' || sameDim(own, wished) ? wished : null;
  });
};

export const reshapeRules: RuleTable = {
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Shape: shapeOf,
  Size: sizeOf,
  Expand: expand,
};
