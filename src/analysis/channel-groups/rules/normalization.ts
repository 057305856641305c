import { intAttribute, type Node, type Value } from '../../../ir/graph.ts';
import type { AxisRule, AxisRules, AxisTable } from '../axes.ts';
import { broadcast } from './elementwise.ts';

/** Parameters of every channel; nothing crosses channels. */
const perChannel: AxisRule = (node, table) => {
  const [x, ...parameters] = node.inputs;
  const [y] = node.outputs;
  table.all(x).forEach((axis, index) => {
    table.same(axis, table.all(y)[index]);
  });
  for (const parameter of parameters) table.same(table.at(x, 1), table.at(parameter, 0));
  const rank = table.shape(x)?.length ?? 0;
  for (let axis = 2; axis < rank; axis++) table.block(table.at(x, axis), `it is a position of ${node.op}`);
};

/** Mean and variance over the last axes, from `axis` on. */
const overLastAxes: AxisRule = (node, table) => {
  const [x, ...parameters] = node.inputs;
  const rank = table.shape(x)?.length ?? 0;
  const first = node.int('axis', -1);
  for (let axis = first < 0 ? first + rank : first; axis < rank; axis++) {
    const found = table.at(x, axis);
    table.takeStatistics(found, node.op);
    for (const value of [node.outputs[0], ...parameters]) table.same(found, table.at(value, axis - rank));
  }
  sameAxes(x, node.outputs[0], table);
};

const sameAxes = (x: Value | undefined, y: Value | undefined, table: AxisTable): void => {
  const rank = table.shape(x)?.length ?? 0;
  for (let axis = 0; axis < rank; axis++) table.same(table.at(x, axis), table.at(y, axis));
};

/** A sum of two streams that is normalised; the sum itself may be an output. */
const skipNormalization: AxisRule = (node, table) => {
  const [x, skip, ...parameters] = node.inputs;
  for (const value of [skip, node.outputs[0], node.outputs[3]]) sameAxes(x, value, table);
  const last = table.at(x, -1);
  table.takeStatistics(last, node.op);
  table.markSummed(last);
  for (const parameter of parameters) table.same(last, table.at(parameter, -1));
};

/** Whole groups may go. */
const groupNormalization: AxisRule = (node, table) => {
  const [x, scale, bias] = node.inputs;
  sameAxes(x, node.outputs[0], table);
  const channels = table.at(x, 1);
  const count = node.int('num_groups', 1);
  const rank = table.shape(x)?.length ?? 0;
  for (let axis = 2; axis < rank; axis++) table.block(table.at(x, axis), `it is a position of ${node.op}`);
  for (const parameter of [scale, bias]) table.same(channels, table.at(parameter, 0));
  if (channels === undefined || count < 2) {
    table.takeStatistics(channels, node.op);
    return;
  }
  const groups = table.virtual(count);
  const share = table.size(channels) / count;
  const inner = share > 1 ? table.virtual(share) : undefined;
  table.block(inner, 'every group that is normalised needs as many channels');
  table.product(channels, [groups, inner], 'its groups are not even');
  table.adjustments.push((view) => {
    const left = view.kept(groups).length;
    if (left !== count) node.setAttribute('num_groups', intAttribute(left));
  });
};

/** Axes that a reduction goes over: an attribute or the second input; all of them where neither is given. */
const reducedAxes = (node: Node, rank: number, table: AxisTable): Set<number> | undefined => {
  const given = node.ints('axes') ?? (node.inputs[1] ? table.contents(node.inputs[1]) : []);
  if (!given?.every((axis) => typeof axis === 'number')) return undefined;
  const axes = given.map((axis) => (axis < 0 ? axis + rank : axis));
  return new Set(axes.length > 0 ? axes : Array.from({ length: rank }, (_, axis) => axis));
};

const reduce: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const rank = table.shape(x)?.length ?? 0;
  const gone = reducedAxes(node, rank, table);
  if (!gone) {
    for (const value of [x, y]) table.blockAll(value, `${node.op} goes over computed axes`);
    return;
  }
  const keep = node.int('keepdims', 1) === 1;
  let to = 0;
  for (let axis = 0; axis < rank; axis++) {
    if (gone.has(axis)) table.takeStatistics(table.at(x, axis), node.op);
    else table.same(table.at(x, axis), table.at(y, to));
    if (keep || !gone.has(axis)) to++;
  }
};

/** Statistics along one axis that keep the shape. */
const along: AxisRule = (node, table) => {
  broadcast(node, table);
  table.takeStatistics(table.at(node.inputs[0], node.int('axis', node.op === 'LRN' ? 1 : -1)), node.op);
};

export const normalizationRules: AxisRules = {
  BatchNormalization: perChannel,
  InstanceNormalization: perChannel,
  GroupNormalization: groupNormalization,
  LayerNormalization: overLastAxes,
  RMSNormalization: overLastAxes,
  SimplifiedLayerNormalization: overLastAxes,
  LpNormalization: along,
  LRN: along,
  MeanVarianceNormalization: along,
  ReduceL1: reduce,
  ReduceL2: reduce,
  ReduceLogSum: reduce,
  ReduceLogSumExp: reduce,
  ReduceMax: reduce,
  ReduceMean: reduce,
  ReduceMin: reduce,
  ReduceProd: reduce,
  ReduceSum: reduce,
  ReduceSumSquare: reduce,
};

export const microsoftNormalizationRules: AxisRules = {
  SkipLayerNormalization: skipNormalization,
  SkipSimplifiedLayerNormalization: skipNormalization,
  SimplifiedLayerNormalization: overLastAxes,
};
