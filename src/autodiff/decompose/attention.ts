import { dtypeOf, type OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Node, type Value } from '../../ir/graph.ts';
import { attend, biasOfMask, causalMask, mergeHeads, scalarLength, splitHeads } from './attend.ts';
import { type Decomposition, fixedLength, inputNeeded, rankNeeded, refuse } from './decomposition.ts';

/** Queries, keys or values with heads as an axis, whichever layout the operator was given. */
const withHeads = (node: Node, build: OperatorBuilder, x: Value, heads: number | undefined): [Value, number] => {
  if (rankNeeded(node, x) === 4) {
    const count = fixedLength(x, 1);
    return [x, count ?? refuse(node, 'has an unknown number of heads', 'Give the model fixed numbers of heads.')];
  }
  if (heads === undefined) refuse(node, 'states no number of heads', 'Export the model again.');
  return [splitHeads(build, x, heads!), heads!];
};

/** What a mask adds to the scores: itself, or 0 and the lowest number for truth values. */
const biasOf = (build: OperatorBuilder, mask: Value, like: Value): Value =>
  dtypeOf(mask) === 'bool' ? biasOfMask(build, mask, like) : mask;

/** Attention of operator set 23; as in onnxruntime, scores are capped before masks are added. */
export const standardAttention: Decomposition = (node, build) => {
  const [q, k, v] = [inputNeeded(node, 0), inputNeeded(node, 1), inputNeeded(node, 2)];
  if (node.inputs[6]) refuse(node, 'has nonpad_kv_seqlen', 'Give it an attention mask instead.');
  const [query, heads] = withHeads(node, build, q, node.int('q_num_heads'));
  const [newKey, keyHeads] = withHeads(node, build, k, node.int('kv_num_heads'));
  const [newValue] = withHeads(node, build, v, node.int('kv_num_heads'));
  const [pastKey, pastValue] = [node.inputs[4], node.inputs[5]];
  const grown = (past: Value | undefined, fresh: Value): Value =>
    past ? build.call('Concat', [past, fresh], { axis: intAttribute(2) }) : fresh;
  const [key, value] = [grown(pastKey, newKey), grown(pastValue, newValue)];
  const mask = node.inputs[3];
  const biases = mask ? [biasOf(build, mask, query)] : [];
  if (node.int('is_causal', 0) === 1) {
    const offset = pastKey && scalarLength(build, pastKey, 2);
    biases.push(biasOfMask(build, causalMask(build, query, key, offset), query));
  }
  const attended = attend(build, {
    ...{ query, key, value, heads, keyHeads, biases },
    scale: node.float('scale'),
    softcap: node.float('softcap'),
  });
  const shown = [attended.raw, attended.bent, attended.biased, attended.weights];
  return [
    rankNeeded(node, q) === 4 ? attended.context : mergeHeads(build, attended.context),
    key,
    value,
    shown[node.int('qk_matmul_output_mode', 0)],
  ];
};
