import { floatAttribute, intAttribute, type Node, type Value } from '../../ir/graph.ts';
import { type Decomposition, inputNeeded } from './decomposition.ts';

const epsilonOf = (node: Node, fallback: number) => ({
  axis: intAttribute(-1),
  epsilon: floatAttribute(node.float('epsilon', fallback)),
});

/** com.microsoft SkipLayerNormalization: normalises input + skip (+ bias); output 3 is that sum. */
export const skipLayerNormalization: Decomposition = (node, build) => {
  const [gain, shift, bias] = [inputNeeded(node, 2), node.inputs[3], node.inputs[4]];
  const plain = build.add(inputNeeded(node, 0), inputNeeded(node, 1));
  const sum = bias ? build.add(plain, bias) : plain;
  return [
    build.call('LayerNormalization', [sum, gain, ...(shift ? [shift] : [])], epsilonOf(node, 1e-12)),
    undefined,
    undefined,
    sum,
  ];
};

/** com.microsoft SkipSimplifiedLayerNormalization: the same with root mean squares, and no shift. */
export const skipRmsNormalization: Decomposition = (node, build) => {
  const [gain, bias] = [inputNeeded(node, 2), node.inputs[3]];
  const plain = build.add(inputNeeded(node, 0), inputNeeded(node, 1));
  const sum = bias ? build.add(plain, bias) : plain;
  return [build.call('SimplifiedLayerNormalization', [sum, gain], epsilonOf(node, 1e-12)), undefined, undefined, sum];
};

/** com.microsoft EmbedLayerNormalization: word, position and segment embeddings summed and normalised. */
export const embedLayerNormalization: Decomposition = (node, build) => {
  const [ids, segments, words, positions, kinds, gain, shift, mask, places] = node.inputs;
  const look = (table: Value, rows: Value): Value => build.call('Gather', [table, rows], { axis: intAttribute(0) });
  const length = build.call('Squeeze', [
    build.call('Shape', [ids], { start: intAttribute(1), end: intAttribute(2) }),
    build.integers([0]),
  ]);
  const counted = (): Value => build.call('Range', [build.scalar(0, 'int64'), length, build.scalar(1, 'int64')]);
  const base = build.add(look(words!, ids!), look(positions!, places ?? counted()));
  const sum = segments && kinds ? build.add(base, look(kinds, segments)) : base;
  const lengths = (): Value | undefined =>
    mask && build.call('ReduceSum', [mask, build.integers([1])], { keepdims: intAttribute(0) });
  return [
    build.call('LayerNormalization', [sum, gain, shift], epsilonOf(node, 1e-12)),
    node.outputs[1] && lengths(),
    sum,
  ];
};
