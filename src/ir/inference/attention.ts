import { addDims, divideDimsExactly, multiplyDims } from '../dimension.ts';
import type { Dim, Shape } from '../shape.ts';
import type { Rule, RuleTable } from './call.ts';
import { sameAsFirst } from './elementwise.ts';
import { tensorFact } from './fact.ts';

/** (batch, sequence, heads * size) seen as (batch, heads, sequence, size). */
const asHeads = (shape: Shape | undefined, heads: number | undefined): Shape | undefined => {
  if (shape?.length !== 3 || heads === undefined) return shape;
  return [shape[0]!, heads, shape[1]!, divideDimsExactly(shape[2]!, heads)];
};

/**
 * Attention of opset 23: Q, K, V as (batch, heads, sequence, size) or (batch, sequence, heads * size), past K and V
 * → Y in the layout of Q, present K, present V (batch, heads, past + sequence, size), optionally the scores.
 */
const attention: Rule = (call) => {
  const q = call.shape(0);
  const queryHeads = call.node.int('q_num_heads');
  const keyHeads = call.node.int('kv_num_heads');
  const query = asHeads(q, queryHeads);
  const key = asHeads(call.shape(1), keyHeads);
  const value = asHeads(call.shape(2), keyHeads);
  const pastLength: Dim = call.has(4) ? (call.shape(4)?.[2] ?? null) : 0;
  const total = addDims(pastLength, key?.[2] ?? null);
  const present = (from: Shape | undefined): Shape | undefined => from && [from[0]!, from[1]!, total, from[3]!];
  const size = value?.[3] ?? null;
  const y = !q
    ? undefined
    : q.length === 3
      ? [q[0]!, q[1]!, multiplyDims(size, queryHeads ?? null)]
      : [...q.slice(0, 3), size];
  return [
    tensorFact(call.dtype(0), y),
    tensorFact(call.dtype(1), present(key)),
    tensorFact(call.dtype(2), present(value)),
    tensorFact(call.dtype(0), query && [...query.slice(0, 3), total]),
  ];
};

export const attentionRules: RuleTable = { Attention: attention, RotaryEmbedding: sameAsFirst };
