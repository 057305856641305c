import { CompressError } from '../../errors.ts';
import { floatAttribute, intAttribute, type Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../builder.ts';
import { attend, type HeadSizes, mergeHeads, splitHeads } from './attention.ts';
import { type RotaryTables, rotaryCaches, rotaryTables, rotate } from './rotary.ts';
import type { RotaryFrequencies } from './rotary-frequencies.ts';
import type { Sequence } from './sequence.ts';

/** What attention depends on that differs from layer to layer. */
export interface AttentionKind {
  /** Number of last positions that are seen; undefined: all. */
  readonly window: number | undefined;
  readonly rotation: RotaryFrequencies | undefined;
}

/** What all layers of a decoder share; made before the first of them, since it belongs to no block. */
export interface DecoderShared {
  readonly sequence: Sequence;
  readonly tables: ReadonlyMap<RotaryFrequencies, RotaryTables>;
  /** For onnxruntime's fused operator: lengths of the rows less one, (batch), and of all, rank 0; both int32. */
  readonly fusedLengths: readonly [Value, Value] | undefined;
}

export interface CoreFields extends HeadSizes, AttentionKind {
  readonly index: number;
  readonly scale: number;
  readonly softcap: number | undefined;
  readonly maxPositions: number;
  /** Applied to (batch, sequence, heads, headSize) before the rotation. */
  readonly normQuery?: (value: Value) => Value;
  readonly normKey?: (value: Value) => Value;
}

export type Projected = readonly [query: Value, key: Value, value: Value];

/**
 * Whether the fused operator can rotate by itself: it takes constant tables, which a rotation that depends on the
 * sequence's length has none of, and heads of a multiple of 16 channels.
 */
const rotatesInside = (
  rotation: RotaryFrequencies | undefined,
  headSize: number,
): rotation is RotaryFrequencies & { readonly rule: { readonly kind: 'fixed' } } =>
  rotation?.rule.kind === 'fixed' && headSize % 16 === 0;

const lengthsOf = (b: GraphBuilder, { ids, totalLength }: Sequence): readonly [Value, Value] =>
  b.within('mask', () => {
    const last = b.cast(b.op('Sub', [totalLength, b.int(1)]), 'int32');
    return [b.op('Expand', [last, b.dimensions(ids, 0, 1)]), b.cast(totalLength, 'int32')];
  });

/** Masks and rotation tables for layers of these kinds. */
export const prepareShared = (
  b: GraphBuilder,
  sequence: Sequence,
  layers: readonly AttentionKind[],
  headSize: number,
): DecoderShared => {
  const tables = new Map<RotaryFrequencies, RotaryTables>();
  const { fused, layout } = b.options;
  if (fused && headSize % 8 !== 0)
    throw new CompressError({
      code: 'unsupported',
      message: `onnxruntime's fused attention works on heads of a multiple of 8 channels, not ${headSize}`,
      hint: 'Build the graph without fused operators.',
    });
  for (const { rotation, window } of layers) {
    if (!fused) sequence.bias(window);
    else if (layout === 'generation') sequence.bias(undefined);
    if (rotation && !tables.has(rotation) && !(fused && rotatesInside(rotation, headSize)))
      tables.set(rotation, rotaryTables(b, rotation, sequence.positions, sequence.rows));
  }
  return { sequence, tables, fusedLengths: fused ? lengthsOf(b, sequence) : undefined };
};

/** In standard operators: norms, rotation, cache, attention. */
const plainCore = (b: GraphBuilder, projected: Projected, fields: CoreFields, shared: DecoderShared): Value => {
  const { heads, keyValueHeads, headSize, index, window } = fields;
  const { sequence } = shared;
  const tables = fields.rotation && shared.tables.get(fields.rotation);
  const turned = (value: Value): Value => (tables ? rotate(b, value, tables, headSize) : value);
  const query = turned(splitHeads(b, projected[0], heads, headSize, fields.normQuery));
  const newKey = turned(splitHeads(b, projected[1], keyValueHeads, headSize, fields.normKey));
  const newValue = splitHeads(b, projected[2], keyValueHeads, headSize);
  const { key, value } = sequence.extend(index, newKey, newValue);
  sequence.present(index, key, value);
  const biasRank = sequence.rows === 'same' ? 2 : 4;
  return attend(b, query, key, value, { ...fields, bias: sequence.bias(window), biasRank });
};

/**
 * In onnxruntime's GroupQueryAttention, which rotates, extends the cache and attends in one. It decodes several rows
 * only one token at a time (several tokens after a cache: one row).
 */
const fusedCore = (b: GraphBuilder, projected: Projected, fields: CoreFields, shared: DecoderShared): Value => {
  const { heads, keyValueHeads, headSize, index, rotation } = fields;
  const { sequence, fusedLengths = [] } = shared;
  const tables = rotation && shared.tables.get(rotation);
  const prepared = (value: Value, count: number, norm: CoreFields['normQuery']): Value => {
    if (!tables && !norm) return value;
    const split = splitHeads(b, value, count, headSize, norm);
    return mergeHeads(b, tables ? rotate(b, split, tables, headSize) : split, count, headSize);
  };
  const caches = rotatesInside(rotation, headSize)
    ? rotaryCaches(b, rotation.rule.frequencies, rotation.attentionFactor, fields.maxPositions)
    : undefined;
  const past = sequence.past(index);
  const inputs = [
    prepared(projected[0], heads, fields.normQuery),
    prepared(projected[1], keyValueHeads, fields.normKey),
    projected[2],
    past?.key,
    past?.value,
    ...fusedLengths,
    caches?.cosine,
    caches?.sine,
    past && caches ? sequence.positions : undefined,
    past ? sequence.bias(undefined) : undefined,
  ];
  const [context, key, value] = b.ops('GroupQueryAttention', inputs, 3, {
    domain: 'com.microsoft',
    attributes: {
      num_heads: intAttribute(heads),
      kv_num_heads: intAttribute(keyValueHeads),
      scale: floatAttribute(fields.scale),
      do_rotary: intAttribute(caches ? 1 : 0),
      local_window_size: intAttribute(fields.window ?? -1),
      softcap: floatAttribute(fields.softcap ?? 0),
    },
  });
  sequence.present(index, key!, value!);
  return context!;
};

/** Causal attention of one layer over projected queries, keys and values, (batch, sequence, heads · headSize). */
export const decoderCore = (b: GraphBuilder, projected: Projected, fields: CoreFields, shared: DecoderShared): Value =>
  (b.options.fused ? fusedCore : plainCore)(b, projected, fields, shared);
