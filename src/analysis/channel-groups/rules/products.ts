import { intAttribute, type Node, type Value } from '../../../ir/graph.ts';
import { constantOf } from '../../../ir/walk.ts';
import type { Axis, AxisRule, AxisRules, AxisTable } from '../axes.ts';

const matmul: AxisRule = (node, table) => {
  const [a, b] = node.inputs;
  const [y] = node.outputs;
  const ranks = [a, b, y].map((value) => table.shape(value)?.length);
  const [rankA, rankB, rankY] = ranks;
  if (rankA === undefined || rankB === undefined || rankY === undefined) {
    for (const value of [a, b, y]) table.blockAll(value, `the rank of an operand of ${node.op} is unknown`);
    return;
  }
  const inner = table.at(a, -1);
  table.same(inner, table.at(b, rankB === 1 ? 0 : -2));
  if (!constantOf(a) && !constantOf(b)) table.takeStatistics(inner, node.op);
  if (rankB > 1) table.same(table.at(y, -1), table.at(b, -1));
  if (rankA > 1) table.same(table.at(y, rankB > 1 ? -2 : -1), table.at(a, -2));
  for (let back = 3; back <= rankY; back++)
    for (const [value, rank] of [
      [a, rankA],
      [b, rankB],
    ] as const)
      if (rank >= back) table.same(table.at(y, -back), table.at(value, -back));
};

const gemm: AxisRule = (node, table) => {
  const [a, b, c] = node.inputs;
  const [y] = node.outputs;
  const turnedA = node.int('transA', 0) === 1;
  const turnedB = node.int('transB', 0) === 1;
  table.same(table.at(a, turnedA ? 0 : 1), table.at(b, turnedB ? 1 : 0));
  table.same(table.at(y, 0), table.at(a, turnedA ? 1 : 0));
  table.same(table.at(y, 1), table.at(b, turnedB ? 0 : 1), table.at(c, -1));
  if ((table.shape(c)?.length ?? 0) > 1) table.same(table.at(y, 0), table.at(c, 0));
};

const blockPositions = (node: Node, value: Value | undefined, table: AxisTable): void => {
  const rank = table.shape(value)?.length ?? 0;
  for (let axis = 2; axis < rank; axis++) table.block(table.at(value, axis), `it is a position of ${node.op}`);
};

/** Channels of a grouped convolution: as many groups as the table says, each with its own share. */
interface GroupedChannels {
  readonly groups: Axis;
  readonly count: number;
}

const inGroups = (
  { groups, count }: GroupedChannels,
  whole: Axis | undefined,
  share: Axis | undefined,
  table: AxisTable,
): void => {
  if (whole === undefined) return;
  const rest = table.size(whole) / count;
  const inner = share ?? (rest > 1 ? table.virtual(rest) : undefined);
  if (inner !== undefined) table.block(inner, 'every group of the convolution needs as many channels');
  table.product(whole, [groups, inner], 'its groups are not even');
};

const convolution: AxisRule = (node, table) => {
  const [x, w, bias] = node.inputs;
  const [y] = node.outputs;
  const transposed = node.op === 'ConvTranspose';
  const count = node.int('group', 1);
  table.same(table.at(x, 0), table.at(y, 0));
  blockPositions(node, x, table);
  blockPositions(node, y, table);
  table.same(table.at(y, 1), table.at(bias, 0));
  const [xChannels, yChannels] = [table.at(x, 1), table.at(y, 1)];
  const [inputShare, outputShare] = transposed ? [undefined, table.at(w, 1)] : [table.at(w, 1), undefined];
  if (count === 1) {
    table.same(xChannels, table.at(w, transposed ? 0 : 1));
    table.same(yChannels, table.at(w, transposed ? 1 : 0));
    return;
  }
  const grouped = { groups: table.virtual(count), count };
  inGroups(grouped, xChannels, inputShare, table);
  inGroups(grouped, yChannels, outputShare, table);
  table.same(transposed ? xChannels : yChannels, table.at(w, 0));
  table.adjustments.push((view) => {
    const left = view.kept(grouped.groups).length;
    if (left !== count) node.setAttribute('group', intAttribute(left));
  });
};

/** Letters that are the same are the same axis; sums go over those that the result lacks. */
const einsum: AxisRule = (node, table) => {
  const equation = node.text('equation')?.replaceAll(' ', '');
  const [left = '', right] = equation?.split('->') ?? [];
  const values = [...node.inputs, node.outputs[0]];
  const terms = [...left.split(','), ...(right === undefined ? [] : [right])];
  if (right === undefined || equation?.includes('.') || terms.length !== values.length) {
    for (const value of values) table.blockAll(value, `the equation ${equation ?? '?'} of Einsum is not followed`);
    return;
  }
  const axes = new Map<string, Axis>();
  terms.forEach((term, index) => {
    [...term].forEach((letter, position) => {
      const axis = table.at(values[index], position);
      if (axis === undefined) return;
      table.same(axes.get(letter), axis);
      axes.set(letter, axis);
      if (!right.includes(letter)) table.takeStatistics(axis, node.op);
    });
  });
};

export const productRules: AxisRules = {
  MatMul: matmul,
  Gemm: gemm,
  Conv: convolution,
  ConvTranspose: convolution,
  Einsum: einsum,
};

const pooling: AxisRule = (node, table) => {
  const [x] = node.inputs;
  for (const y of node.outputs) {
    table.same(table.at(x, 0), table.at(y, 0));
    table.same(table.at(x, 1), table.at(y, 1));
    blockPositions(node, y, table);
  }
  blockPositions(node, x, table);
};

export const poolingRules: AxisRules = {
  AveragePool: pooling,
  GlobalAveragePool: pooling,
  GlobalLpPool: pooling,
  GlobalMaxPool: pooling,
  LpPool: pooling,
  MaxPool: pooling,
};
