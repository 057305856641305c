import { CompressError } from '../../../errors.ts';
import type { Node, Program, Value } from '../../../ir/graph.ts';
import type { Dim } from '../../../ir/shape.ts';

export type CacheKind = 'key' | 'value';

/** Keys or values of one layer that are kept from step to step. */
export interface LayerCache {
  readonly layer: number;
  readonly kind: CacheKind;
  /** Input of the graph: (batch, heads, past positions, head size). */
  readonly past: Value;
  /** Output of the graph: past and new positions. */
  readonly present: Value;
  /** What is added in a step: (batch, heads, new positions, head size). */
  readonly fresh: Value;
  readonly join: Node;
  readonly heads: number;
  readonly headSize: number;
  /** Names of the batch and of the lengths of the past and of all positions. */
  readonly dimensions: { readonly batch: Dim; readonly past: Dim; readonly total: Dim };
}

const pastName = /^past_key_values\.(\d+)\.(key|value)$/;

const unsupported = (message: string): CompressError =>
  new CompressError({
    code: 'unsupported',
    message,
    where: { key: 'cache' },
    hint: 'Open the checkpoint in the generation layout with standard operators: model: { path: …, layout: generation }.',
  });

const shapeOf = (value: Value): readonly Dim[] | undefined =>
  value.type?.kind === 'tensor' ? value.type.shape : undefined;

const cacheOf = ({ graph }: Program, past: Value, layer: number, kind: CacheKind): LayerCache => {
  const join = past.uses.map(({ node }) => node).find(({ op, domain }) => op === 'Concat' && domain === '');
  const present = graph.outputs.find(({ name }) => name === `present.${layer}.${kind}`);
  const [batch, heads, length, headSize] = shapeOf(past) ?? [];
  const fresh = join?.inputs.find((value) => value !== past);
  if (!join || !fresh || join.inputs.length !== 2 || !present || present.producer !== join)
    throw unsupported(`${past.name} is not joined with the keys and values of a step in a way that is known`);
  if (typeof heads !== 'number' || typeof headSize !== 'number' || batch === undefined || length === undefined)
    throw unsupported(`the shape of ${past.name} is not known`);
  const total = shapeOf(present)?.[2] ?? null;
  return { layer, kind, past, present, fresh, join, heads, headSize, dimensions: { batch, past: length, total } };
};

/**
 * Keys and values that a decoder keeps, by layer. @throws 'unsupported' for graphs that keep none, or in fused operators
 */
export const findCaches = (program: Program): LayerCache[] => {
  const found = program.graph.inputs.flatMap((past) => {
    const [, layer, kind] = pastName.exec(past.name) ?? [];
    return layer === undefined ? [] : [cacheOf(program, past, Number(layer), kind as CacheKind)];
  });
  if (found.length === 0) throw unsupported('the model keeps no keys and values');
  return found.sort((a, b) => a.layer - b.layer);
};

/** Numbers that a position of a layer takes. */
export const widthOf = ({ heads, headSize }: LayerCache): number => heads * headSize;

/** Layers cut into groups of neighbours, keys and values apart. */
export const cacheGroups = (caches: readonly LayerCache[], size: number): LayerCache[][] =>
  (['key', 'value'] as const).flatMap((kind) => {
    const own = caches.filter((cache) => cache.kind === kind);
    return Array.from({ length: Math.ceil(own.length / size) }, (_, index) =>
      own.slice(index * size, (index + 1) * size),
    );
  });
