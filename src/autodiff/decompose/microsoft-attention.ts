import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Node, type Value } from '../../ir/graph.ts';
import { attend, biasOfMask, causalMask, countTo, mergeHeads, scalarLength, splitHeads } from './attend.ts';
import { type Decomposition, fixedLength, inputNeeded, rankNeeded, refuse } from './decomposition.ts';
import { rotate } from './rotary.ts';

const grown = (build: OperatorBuilder, past: Value | undefined, fresh: Value): Value =>
  past ? build.call('Concat', [past, fresh], { axis: intAttribute(2) }) : fresh;

/**
 * What onnxruntime's masks of keys add to the scores: (batch, keys) or (batch, queries, keys) with 0 for what may not be
 * seen, or (batch) lengths.
 */
const paddingBias = (node: Node, build: OperatorBuilder, mask: Value, key: Value): Value => {
  const rank = rankNeeded(node, mask);
  const filter = build.scalarLike(node.float('mask_filter_value', -10000), key);
  const bias = (seen: Value): Value => build.call('Where', [seen, build.scalarLike(0, key), filter]);
  const zero = build.call('Cast', [build.integers([0])], { to: intAttribute(6) });
  const isSeen = (): Value => build.call('Greater', [mask, zero]);
  if (rank === 2) return bias(build.call('Unsqueeze', [isSeen(), build.integers([1, 2])]));
  if (rank === 3) return bias(build.call('Unsqueeze', [isSeen(), build.integers([1])]));
  const packed = rank === 1 && !isPlainLengths(mask);
  if (rank > 3 || packed)
    return refuse(node, `has a mask of rank ${rank} whose form is not known`, 'Give it a mask (batch, keys).');
  const columns = build.call('Cast', [countTo(build, scalarLength(build, key, 2))], { to: intAttribute(6) });
  const lengths = build.call('Unsqueeze', [mask, build.integers([1, 2, 3])]);
  return bias(build.call('Less', [columns, lengths]));
};

/** Whether a mask vector has the length of the batch, as far as its type tells. */
const isPlainLengths = (mask: Value): boolean => {
  const length = mask.type?.kind === 'tensor' ? mask.type.shape?.[0] : undefined;
  return typeof length === 'number' ? length === 1 : typeof length === 'string' && !/[*+]/.test(length);
};

/** The part of a (…, total) constant or computed vector that belongs to one of queries, keys and values. */
const partOf = (build: OperatorBuilder, vector: Value, from: number, to: number): Value =>
  build.call('Slice', [vector, build.integers([from]), build.integers([to]), build.integers([-1])]);

/** Queries, keys and values packed in one tensor (batch, sequence, heads, count, size). */
const unpack = (build: OperatorBuilder, packed: Value, count: number): Value[] => {
  const turned = build.transpose(packed, [0, 2, 1, 3, 4]);
  return Array.from({ length: count }, (_, index) =>
    build.call('Gather', [turned, build.scalar(index, 'int64')], { axis: intAttribute(3) }),
  );
};

/** com.microsoft MultiHeadAttention: queries, keys and values already projected. */
export const multiHeadAttention: Decomposition = (node, build) => {
  const heads = node.int('num_heads', 1);
  const [query, key, value, bias] = node.inputs;
  const q = inputNeeded(node, 0);
  const rank = rankNeeded(node, q);
  const biased = (x: Value, index: number): Value => {
    if (!bias) return x;
    const third = fixedLength(bias, 0);
    const width = fixedLength(q, -1);
    if (third === undefined || width === undefined)
      return refuse(node, 'has a bias of unknown length', 'Give the model fixed numbers of channels.');
    const bounds = [0, width, 2 * width, third] as const;
    return build.add(x, partOf(build, bias, bounds[index]!, bounds[index + 1]!));
  };
  const headsOf = (x: Value, index: number): Value =>
    rankNeeded(node, x) === 4 ? x : splitHeads(build, biased(x, index), heads);
  const parts = (): Value[] => {
    if (rank === 5) return unpack(build, q, 3);
    if (key && rankNeeded(node, key) === 5) return [headsOf(q, 0), ...unpack(build, key, 2)];
    return [headsOf(q, 0), headsOf(key ?? q, 1), headsOf(value ?? key ?? q, 2)];
  };
  if (rank === 5 && bias) return refuse(node, 'has packed inputs with a bias', 'Add the bias before.');
  if (node.inputs[8] || node.inputs[9])
    return refuse(node, 'reads a shared cache', 'Differentiate a graph without a cache.');
  if (!query) return refuse(node, 'has no query', 'Export the model again.');
  const [queries, freshKeys, freshValues] = parts() as [Value, Value, Value];
  const pastKey = node.inputs[6];
  const keys = grown(build, pastKey, freshKeys);
  const values = grown(build, node.inputs[7], freshValues);
  const mask = node.inputs[4];
  const biases = [
    ...(mask ? [paddingBias(node, build, mask, keys)] : []),
    ...(node.inputs[5] ? [node.inputs[5]] : []),
    ...(node.int('unidirectional', 0) === 1
      ? [biasOfMask(build, causalMask(build, queries, keys, pastKey && scalarLength(build, pastKey, 2)), queries)]
      : []),
  ];
  const { context } = attend(build, {
    ...{ query: queries, key: keys, value: values, heads, keyHeads: heads, biases },
    scale: node.float('scale'),
  });
  return [mergeHeads(build, context), keys, values];
};

/** com.microsoft Attention: one product for queries, keys and values. */
export const fusedAttention: Decomposition = (node, build) => {
  const [x, weights, bias, mask, past] = node.inputs;
  const heads = node.int('num_heads', 1);
  const width = fixedLength(weights, 1);
  const sizes = node.ints('qkv_hidden_sizes') ?? (width === undefined ? undefined : [width / 3, width / 3, width / 3]);
  if (!x || !weights || !sizes)
    return refuse(node, 'has weights of unknown shape', 'Give the model weights of fixed shape.');
  if (node.int('do_rotary', 0) === 1 || node.inputs[6])
    return refuse(node, 'turns its channels or shares a cache', 'Export the model without these fusions.');
  const product = build.call('MatMul', [x, weights]);
  const all = bias ? build.add(product, bias) : product;
  const ends = sizes.map((_, index) => sizes.slice(0, index + 1).reduce((sum, size) => sum + size, 0));
  const [query, freshKey, freshValue] = sizes.map((size, index) =>
    splitHeads(build, partOf(build, all, ends[index]! - size, ends[index]!), heads),
  ) as [Value, Value, Value];
  const before = (index: number): Value | undefined =>
    past && build.call('Gather', [past, build.scalar(index, 'int64')], { axis: intAttribute(0) });
  const [pastKey, pastValue] = [before(0), before(1)];
  const [key, value] = [grown(build, pastKey, freshKey), grown(build, pastValue, freshValue)];
  const biases = [
    ...(mask ? [paddingBias(node, build, mask, key)] : []),
    ...(node.inputs[5] ? [node.inputs[5]] : []),
    ...(node.int('unidirectional', 0) === 1
      ? [biasOfMask(build, causalMask(build, query, key, pastKey && scalarLength(build, pastKey, 2)), query)]
      : []),
  ];
  const { context } = attend(build, {
    ...{ query, key, value, heads, keyHeads: heads, biases },
    scale: node.float('scale'),
  });
  const present = (): Value =>
    build.call(
      'Concat',
      [key, value].map((part) => build.call('Unsqueeze', [part, build.integers([0])])),
      { axis: intAttribute(0) },
    );
  return [mergeHeads(build, context), node.outputs[1] && present()];
};

/**
 * com.microsoft GroupQueryAttention: causal, with a cache that grows. All sequences of a batch are taken to be equally
 * long, as in windows of text; shorter ones give other numbers only behind their ends.
 */
export const groupQueryAttention: Decomposition = (node, build) => {
  const [q, k, v, pastKey, pastValue] = node.inputs;
  const heads = node.int('num_heads', 1);
  const keyHeads = node.int('kv_num_heads', heads);
  if (node.inputs[11] || node.int('smooth_softmax', 0) === 1)
    return refuse(node, 'has a sink in its softmax', 'Export the model without it.');
  const parts = (): [Value, Value, Value] => {
    if (q && k && v)
      return [splitHeads(build, q, heads), splitHeads(build, k, keyHeads), splitHeads(build, v, keyHeads)];
    const width = fixedLength(q, -1);
    if (!q || width === undefined)
      return refuse(node, 'has packed inputs of unknown width', 'Give the model fixed numbers of channels.');
    const size = width / (heads + 2 * keyHeads);
    const slice = (from: number, to: number, count: number): Value =>
      splitHeads(build, partOf(build, q, from * size, to * size), count);
    return [
      slice(0, heads, heads),
      slice(heads, heads + keyHeads, keyHeads),
      slice(heads + keyHeads, heads + 2 * keyHeads, keyHeads),
    ];
  };
  const [plainQuery, plainKey, freshValue] = parts();
  const offset = pastKey && scalarLength(build, pastKey, 2);
  const turned = (x: Value): Value => {
    if (node.int('do_rotary', 0) === 0) return x;
    const [cosines, sines] = [inputNeeded(node, 7), inputNeeded(node, 8)];
    const half = fixedLength(cosines, -1);
    if (half === undefined) return refuse(node, 'has angles of unknown number', 'Give it constant caches.');
    const given = node.inputs[9];
    const steps = countTo(build, scalarLength(build, x, 2));
    const positions = given ?? (offset ? build.add(steps, offset) : steps);
    const at = (cache: Value): Value => {
      const rows = build.call('Gather', [cache, positions], { axis: intAttribute(0) });
      return given ? build.call('Unsqueeze', [rows, build.integers([1])]) : rows;
    };
    return rotate(build, x, {
      cosine: at(cosines),
      sine: at(sines),
      width: 2 * half,
      order: node.int('rotary_interleaved', 0) === 1 ? 'interleaved' : 'halves',
    });
  };
  const query = turned(plainQuery);
  const key = grown(build, pastKey, turned(plainKey));
  const value = grown(build, pastValue, freshValue);
  const window = node.int('local_window_size', -1);
  const mask = causalMask(build, query, key, offset, window);
  const { context } = attend(build, {
    ...{ query, key, value, heads, keyHeads },
    scale: node.float('scale'),
    softcap: node.float('softcap'),
    biases: [biasOfMask(build, mask, query), ...(node.inputs[10] ? [node.inputs[10]] : [])],
  });
  return [mergeHeads(build, context), key, value];
};
