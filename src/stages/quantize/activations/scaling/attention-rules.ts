import type { Node } from '../../../../ir/graph.ts';
import { collapse, type Pattern, variesAlong } from './pattern.ts';
import { type ScalingRule, type TraceStep, together } from './step.ts';

/** Inputs that hold what is kept of earlier positions, and outputs that hand it on: they must stay as they are. */
const keepsCache = (node: Node, past: readonly number[]): boolean =>
  past.some((index) => node.inputs[index] !== undefined) || node.outputs.slice(1, 3).some((value) => value);

/** Values of the heads that share them: (…, heads · size) or (batch, heads, …, size) with one factor for the heads of a group. */
const sharedValues = (step: TraceStep, index: number, heads: number, valueHeads: number) => {
  const { pattern, scale } = step;
  const rank = pattern.shape.length;
  const group = heads / valueHeads;
  if (rank === 4) {
    if (pattern.shape[1] === 1) return scale(index, pattern);
    const grouped: Pattern = { shape: [1, valueHeads, group, 1, pattern.shape[3]!], ids: pattern.ids };
    const { pattern: one, ties } = collapse(grouped, [2]);
    return together(scale(index, { shape: [1, valueHeads, 1, pattern.shape[3]!], ids: one.ids }), {
      constants: [],
      ties,
    });
  }
  const size = pattern.ids.length / heads;
  if (variesAlong(pattern, [0, 1]) || !Number.isInteger(size)) return undefined;
  const { pattern: one, ties } = collapse({ shape: [valueHeads, group, size], ids: pattern.ids }, [1]);
  return together(scale(index, { shape: [1, 1, valueHeads * size], ids: one.ids }), { constants: [], ties });
};

/** onnxruntime's attention with grouped heads; queries, keys and values come apart. */
const groupQueryAttention: ScalingRule = (step) => {
  const { node, output } = step;
  if (output !== 0 || !node.inputs[2] || keepsCache(node, [3, 4])) return undefined;
  return sharedValues(step, 2, node.int('num_heads', 1), node.int('kv_num_heads', 1));
};

/** onnxruntime's attention of encoders, without a bias of its own. */
const multiHeadAttention: ScalingRule = (step) => {
  const { node, output, shape } = step;
  if (output !== 0 || node.inputs[3] || keepsCache(node, [6, 7]) || shape(node.inputs[2])?.length !== 3)
    return undefined;
  const heads = node.int('num_heads', 1);
  return sharedValues(step, 2, heads, heads);
};

/** Attention of operator set 23: values of three or of four axes. */
const attention: ScalingRule = (step) => {
  const { node, output, shape } = step;
  const values = shape(node.inputs[2]);
  if (output !== 0 || keepsCache(node, [4, 5]) || values?.length !== step.pattern.shape.length) return undefined;
  const [heads, valueHeads] =
    values.length === 4
      ? [shape(node.inputs[0])?.[1], values[1]]
      : [node.int('q_num_heads', 1), node.int('kv_num_heads', 1)];
  if (typeof heads !== 'number' || typeof valueHeads !== 'number') return undefined;
  return sharedValues(step, 2, heads, valueHeads);
};

/** Rules of fused attention: factors of the result are those of the values that it mixes. */
export const attentionRules: {
  readonly standard: Readonly<Record<string, ScalingRule>>;
  readonly microsoft: Readonly<Record<string, ScalingRule>>;
} = {
  standard: { Attention: attention },
  microsoft: { GroupQueryAttention: groupQueryAttention, MultiHeadAttention: multiHeadAttention },
};
