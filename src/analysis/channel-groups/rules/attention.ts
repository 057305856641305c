import { intAttribute, type Node, type Value } from '../../../ir/graph.ts';
import type { Axis, AxisRule, AxisRules, AxisTable } from '../axes.ts';

const wholeHeads = 'a head keeps its width';

/** Heads of one fused attention: groups of query heads that share a key and value head. */
interface Heads {
  readonly groups: Axis | undefined;
  readonly queries: number;
  readonly keys: number;
}

/** Relates a packed axis (heads × width) to the groups of heads. */
const packed = (
  value: Value | undefined,
  { groups, queries, keys }: Heads,
  isQuery: boolean,
  table: AxisTable,
): void => {
  const whole = table.at(value, -1);
  if (whole === undefined) return;
  const perGroup = isQuery ? queries / keys : 1;
  const width = table.size(whole) / keys / perGroup;
  const inner = perGroup * width > 1 ? table.virtual(perGroup * width) : undefined;
  table.block(inner, wholeHeads);
  table.product(whole, [groups, inner], wholeHeads);
};

const headsOf = (node: Node, queries: number, keys: number, table: AxisTable): Heads => {
  const groups = keys > 1 ? table.virtual(keys) : undefined;
  table.adjustments.push((view) => {
    const left = groups === undefined ? keys : view.kept(groups).length;
    if (left === keys) return;
    for (const name of ['num_heads', 'q_num_heads'])
      if (node.attributes.has(name)) node.setAttribute(name, intAttribute((queries / keys) * left));
    if (node.attributes.has('kv_num_heads')) node.setAttribute('kv_num_heads', intAttribute(left));
  });
  return { groups, queries, keys };
};

/** Query, key, value and result are packed; caches (batch, heads, positions, width). */
const fused =
  (caches: readonly number[], presents: readonly number[]): AxisRule =>
  (node, table) => {
    const [query, key, value] = node.inputs;
    const queries = node.int('num_heads') ?? node.int('q_num_heads') ?? 0;
    const keys = node.int('kv_num_heads', queries);
    const packedForm = [query, key, value, node.outputs[0]].every((one) => table.shape(one)?.length === 3);
    if (!packedForm || queries === 0) {
      for (const one of [...node.inputs, ...node.outputs])
        table.blockAll(one, `this form of ${node.op} is not followed`);
      return;
    }
    const heads = headsOf(node, queries, keys, table);
    packed(query, heads, true, table);
    packed(node.outputs[0], heads, true, table);
    for (const one of [key, value]) packed(one, heads, false, table);
    const four = [...caches.map((index) => node.inputs[index]), ...presents.map((index) => node.outputs[index])];
    for (const one of four) if (table.shape(one)?.length === 4) table.same(heads.groups, table.at(one, 1));
    for (const [index, input] of node.inputs.entries())
      if (index > 2 && !caches.includes(index)) table.blockAll(input, `it is read by ${node.op}`);
  };

/** Positions are turned in pairs inside each head; heads pass. */
const rotary: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const rank = table.shape(x)?.length ?? 0;
  for (let axis = 0; axis < rank; axis++) table.same(table.at(x, axis), table.at(y, axis));
  if (rank === 4) {
    table.block(table.at(x, 3), wholeHeads);
    return;
  }
  const width = table.shape(node.inputs[2])?.[1];
  const whole = table.at(x, -1);
  const turned = node.int('rotary_embedding_dim', 0) || (typeof width === 'number' ? width * 2 : 0);
  const count = whole === undefined || turned === 0 ? 0 : table.size(whole) / turned;
  if (whole === undefined || !Number.isInteger(count) || node.int('rotary_embedding_dim', 0) > 0) {
    table.block(whole, `this form of ${node.op} is not followed`);
    return;
  }
  const heads = count > 1 ? table.virtual(count) : undefined;
  const inner = table.virtual(turned);
  table.block(inner, wholeHeads);
  table.product(whole, [heads, inner], wholeHeads);
  table.adjustments.push((view) => {
    if (node.int('num_heads', 0) > 0 && heads !== undefined)
      node.setAttribute('num_heads', intAttribute(view.kept(heads).length));
  });
};

/** Attention operators of the standard domain (opset 23 on). */
export const attentionRules: AxisRules = { Attention: fused([4, 5], [1, 2]), RotaryEmbedding: rotary };

/** Attention operators of onnxruntime. */
export const microsoftAttentionRules: AxisRules = {
  GroupQueryAttention: fused([3, 4], [1, 2]),
  MultiHeadAttention: fused([6, 7], [1, 2]),
};
