import { divideDimsExactly, multiplyDims, sameDim } from '../../../ir/dimension.ts';
import type { Node, Value } from '../../../ir/graph.ts';
import { type Dim, formatShape, type Shape } from '../../../ir/shape.ts';
import type { AxisRule, AxisRules, AxisTable } from '../axes.ts';
import { writeNumbers, writtenNumber } from '../vectors.ts';

/** A run of input axes that becomes a run of output axes with as many elements. */
interface Segment {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** Cuts two shapes with the same elements into the smallest runs that belong together; undefined where that is not known. */
export const segmentsOf = (from: Shape, to: Shape): Segment[] | undefined => {
  const segments: Segment[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const inputs: number[] = [];
    const outputs: number[] = [];
    let [left, right]: [Dim, Dim] = [1, 1];
    do {
      const shorter = inputs.length === 0 || (outputs.length > 0 && smaller(left, right));
      if (shorter && i < from.length) {
        left = multiplyDims(left, from[i]!);
        inputs.push(i++);
      } else if (j < to.length) {
        right = multiplyDims(right, to[j]!);
        outputs.push(j++);
      } else if (i < from.length) {
        left = multiplyDims(left, from[i]!);
        inputs.push(i++);
      } else break;
      if (left === null || right === null) return undefined;
    } while (sameDim(left, right) !== true || inputs.length === 0);
    if (sameDim(left, right) !== true) return undefined;
    segments.push({ inputs, outputs });
  }
  return segments;
};

/** Whether a product of dimensions must still grow to become another one: numbers are compared, expressions divided. */
const smaller = (left: Dim, right: Dim): boolean =>
  typeof left === 'number' && typeof right === 'number' ? left < right : divideDimsExactly(right, left) !== null;

/** Axes of a value among some indices, without those of length 1; undefined stands for one of unknown length. */
const longAxes = (value: Value | undefined, indices: readonly number[], table: AxisTable): (number | undefined)[] => {
  const shape = table.shape(value) ?? [];
  return indices.filter((index) => shape[index] !== 1).map((index) => table.at(value, index));
};

const relate = (x: Value | undefined, y: Value | undefined, segment: Segment, table: AxisTable): void => {
  const inputs = longAxes(x, segment.inputs, table);
  const outputs = longAxes(y, segment.outputs, table);
  const why = `a reshape from ${formatShape(table.shape(x))} to ${formatShape(table.shape(y))} mixes it with others`;
  if (inputs.length === 1 && outputs.length === 1) table.same(inputs[0], outputs[0]);
  else if (inputs.length === 1 && !outputs.includes(undefined)) table.product(inputs[0], outputs, why);
  else if (outputs.length === 1 && !inputs.includes(undefined)) table.product(outputs[0], inputs, why);
  else for (const axis of [...inputs, ...outputs]) table.block(axis, why);
};

const relateAll = (node: Node, table: AxisTable): void => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const [from, to] = [table.shape(x), table.shape(y)];
  const segments = from && to && segmentsOf(from, to);
  if (segments) for (const segment of segments) relate(x, y, segment, table);
  else for (const value of [x, y]) table.blockAll(value, `the lengths around ${node.op} are not known`);
};

/** Lengths in the target of a Reshape or Expand follow the axes of the result. */
const followTarget = (node: Node, table: AxisTable): void => {
  const [y] = node.outputs;
  const rank = table.shape(y)?.length ?? 0;
  const axes = Array.from({ length: rank }, (_, index) => table.at(y, index));
  const x = node.inputs[0];
  table.adjustments.push((view) => {
    const changes = new Map<number, number>();
    axes.forEach((axis, index) => {
      const written = axis === undefined ? undefined : writtenNumber(node, 1, index, table);
      if (axis === undefined || written === undefined || written === -1) return;
      const copied = written === 0 && node.int('allowzero', 0) === 0;
      if (copied && table.at(x, index) !== undefined && table.root(table.at(x, index)!) === table.root(axis)) return;
      const left = view.kept(axis).length;
      if (left !== table.size(axis)) changes.set(index, left);
    });
    writeNumbers(node, 1, changes, table);
  });
};

const reshape: AxisRule = (node, table) => {
  relateAll(node, table);
  followTarget(node, table);
};

const expand: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const [from, to] = [table.shape(x), table.shape(y)];
  for (let back = 1; back <= (to?.length ?? 0); back++) {
    const [before, after] = [from?.at(-back), to?.at(-back)];
    if (from && from.length >= back && before === after) table.same(table.at(x, -back), table.at(y, -back));
    else table.block(table.at(y, -back), 'it repeats one element');
  }
  followTarget(node, table);
};

const tile: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const rank = table.shape(y)?.length ?? 0;
  const repeats = table.contents(node.inputs[1]);
  for (let axis = 0; axis < rank; axis++)
    if (repeats?.[axis] === 1) table.same(table.at(x, axis), table.at(y, axis));
    else for (const value of [x, y]) table.block(table.at(value, axis), 'Tile repeats it');
};

const transpose: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const rank = table.shape(x)?.length ?? 0;
  const order = node.ints('perm') ?? Array.from({ length: rank }, (_, index) => rank - 1 - index);
  order.forEach((from, to) => {
    table.same(table.at(x, from), table.at(y, to));
  });
};

export const shapeRules: AxisRules = {
  Reshape: reshape,
  Flatten: relateAll,
  Squeeze: relateAll,
  Unsqueeze: relateAll,
  Expand: expand,
  Tile: tile,
  Transpose: transpose,
};
