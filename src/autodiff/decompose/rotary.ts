import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';
import { countTo, mergeHeads, scalarLength, splitHeads } from './attend.ts';
import { type Decomposition, fixedLength, inputNeeded, rankNeeded, refuse } from './decomposition.ts';

/** Cosines and sines (…, sequence, half), broadcasting against (batch, heads, sequence, half). */
interface Angles {
  readonly cosine: Value;
  readonly sine: Value;
  /** How many channels are turned: twice `half`. */
  readonly width: number;
  readonly order: 'halves' | 'interleaved';
}

/** Channels turned by angles that grow with the position (Su et al. 2021); those beyond `width` pass. x has heads. */
export const rotate = (build: OperatorBuilder, x: Value, { cosine, sine, width, order }: Angles): Value => {
  const slice = (value: Value, from: number, to: number): Value =>
    build.call('Slice', [value, build.integers([from]), build.integers([to]), build.integers([3])]);
  const half = width / 2;
  const turned = (first: Value, second: Value): [Value, Value] => [
    build.subtract(build.multiply(first, cosine), build.multiply(second, sine)),
    build.add(build.multiply(second, cosine), build.multiply(first, sine)),
  ];
  const rest = slice(x, width, Number.MAX_SAFE_INTEGER);
  if (order === 'halves') {
    const parts = turned(slice(x, 0, half), slice(x, half, width));
    return build.call('Concat', [...parts, rest], { axis: intAttribute(3) });
  }
  const every = (from: number): Value =>
    build.call('Slice', [x, build.integers([from]), build.integers([width]), build.integers([3]), build.integers([2])]);
  const pairs = turned(every(0), every(1)).map((part) => build.call('Unsqueeze', [part, build.integers([4])]));
  const joined = build.call('Concat', pairs, { axis: intAttribute(4) });
  const flat = build.reshape(joined, build.integers([0, 0, 0, -1]));
  return build.call('Concat', [flat, rest], { axis: intAttribute(3) });
};

/** (batch, sequence, half) → (batch, 1, sequence, half) */
const underHeads = (build: OperatorBuilder, x: Value): Value => build.call('Unsqueeze', [x, build.integers([1])]);

const orderOf = (interleaved: number): Angles['order'] => (interleaved === 1 ? 'interleaved' : 'halves');

/** RotaryEmbedding of operator set 23: caches by position, or ready for every position where no ids are given. */
export const standardRotary: Decomposition = (node, build) => {
  const [x, cosines, sines] = [inputNeeded(node, 0), inputNeeded(node, 1), inputNeeded(node, 2)];
  const positions = node.inputs[3];
  const heads = node.int('num_heads', 0);
  const flat = rankNeeded(node, x) === 3;
  const half = fixedLength(cosines, -1);
  const width = node.int('rotary_embedding_dim', 0) || (half === undefined ? 0 : 2 * half);
  if (width === 0 || (flat && heads === 0))
    refuse(node, 'has angles or heads of unknown number', 'Give it constant caches and num_heads.');
  const at = (cache: Value): Value =>
    underHeads(build, positions ? build.call('Gather', [cache, positions], { axis: intAttribute(0) }) : cache);
  const angles: Angles = {
    cosine: at(cosines),
    sine: at(sines),
    width,
    order: orderOf(node.int('interleaved', 0)),
  };
  const turned = rotate(build, flat ? splitHeads(build, x, heads) : x, angles);
  return [flat ? mergeHeads(build, turned) : turned];
};

/** com.microsoft RotaryEmbedding: position ids a token, or one offset for all. */
export const microsoftRotary: Decomposition = (node, build) => {
  const [x, positions] = [inputNeeded(node, 0), inputNeeded(node, 1)];
  const [cosines, sines] = [inputNeeded(node, 2), inputNeeded(node, 3)];
  const half = fixedLength(cosines, -1);
  const flat = rankNeeded(node, x) === 3;
  const headSize = half === undefined ? undefined : 2 * half;
  const channels = fixedLength(x, -1);
  const heads =
    node.int('num_heads', 0) ||
    (channels !== undefined && headSize !== undefined && flat ? channels / headSize : undefined);
  const width = node.int('rotary_embedding_dim', 0) || headSize;
  if (width === undefined || (flat && heads === undefined))
    return refuse(node, 'has angles or heads of unknown number', 'Give it constant caches and num_heads.');
  if (node.int('is_packed_batching', 0) === 1)
    return refuse(node, 'packs sequences of different lengths', 'Pad the sequences instead.');
  const turnable = flat ? splitHeads(build, x, heads!) : x;
  const offset = rankNeeded(node, positions) === 1;
  const ids = offset ? build.add(countTo(build, scalarLength(build, turnable, 2)), positions) : positions;
  const at = (cache: Value): Value => {
    const rows = build.call('Gather', [cache, ids], { axis: intAttribute(0) });
    return offset ? rows : underHeads(build, rows);
  };
  const angles: Angles = {
    cosine: at(cosines),
    sine: at(sines),
    width,
    order: orderOf(node.int('interleaved', 0)),
  };
  const turned = rotate(build, turnable, angles);
  const scale = node.float('scale', 1);
  const result = flat ? mergeHeads(build, turned) : turned;
  return [scale === 1 ? result : build.scale(result, scale)];
};
