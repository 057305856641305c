import { OperatorBuilder } from '../../../ir/build.ts';
import { replaceAllUses } from '../../../ir/edit/replace.ts';
import { type Program, Value } from '../../../ir/graph.ts';
import { tensorType } from '../../../ir/shape.ts';
import { type LayerCache, widthOf } from './find-caches.ts';

export interface SharedCache {
  /** Neighbouring layers, keys or values. */
  readonly group: readonly LayerCache[];
  readonly rank: number;
  /** (width of all layers, rank). */
  readonly encoder: Float64Array;
  /** (rank, width of all layers). */
  readonly decoder: Float64Array;
}

/** Name of what a group keeps: `0-3`. */
const spanOf = (group: readonly LayerCache[]): string => `${group[0]!.layer}-${group.at(-1)!.layer}`;

/** The columns of one layer: (rank, width of the layer). */
const decoderOf = ({ decoder, rank }: SharedCache, from: number, own: number, width: number): Float32Array => {
  const part = new Float32Array(rank * own);
  for (let k = 0; k < rank; k++) for (let i = 0; i < own; i++) part[k * own + i] = decoder[k * width + from + i]!;
  return part;
};

/**
 * Lets the layers of a group keep one list of numbers a position between them, in place of a key or value each: what
 * earlier steps have left is turned back into the keys or values of each layer, and what a step adds is taken into the
 * common subspace at its end. Keys and values of the step itself stay exact.
 */
export const shareCache = (program: Program, shared: SharedCache): void => {
  const { group, rank, encoder } = shared;
  const { graph } = program;
  const [{ kind, dimensions }] = group as readonly [LayerCache];
  const width = group.reduce((sum, cache) => sum + widthOf(cache), 0);
  const name = `${spanOf(group)}.${kind}`;
  const past = new Value(`past_key_values.${name}`, tensorType('float32', [dimensions.batch, dimensions.past, rank]));
  graph.inputs.splice(graph.inputs.indexOf(group[0]!.past), 0, past);
  const before = new OperatorBuilder(graph, `cache/${name}/past`, graph.nodes[0]);
  const after = new OperatorBuilder(graph, `cache/${name}/present`);
  const added: Value[] = [];
  let from = 0;
  for (const cache of group) {
    const own = widthOf(cache);
    const { heads, headSize } = cache;
    const flat = before.call('MatMul', [
      past,
      before.floats([rank, own], decoderOf(shared, from, own, width), 'float32'),
    ]);
    const split = before.reshape(flat, before.integers([0, 0, heads, headSize]));
    const restored = before.transpose(split, [0, 2, 1, 3]);
    restored.type = cache.past.type;
    replaceAllUses(cache.past, restored, { graph });
    graph.inputs.splice(graph.inputs.indexOf(cache.past), 1);
    graph.outputs.splice(graph.outputs.indexOf(cache.present), 1);
    const rows = after.reshape(after.transpose(cache.fresh, [0, 2, 1, 3]), after.integers([0, 0, own]));
    const part = Float32Array.from(encoder.subarray(from * rank, (from + own) * rank));
    added.push(after.call('MatMul', [rows, after.floats([own, rank], part, 'float32')]));
    from += own;
  }
  const fresh = added.reduce((sum, value) => after.add(sum, value));
  const present = after.call('Concat', [past, fresh], { axis: { kind: 'int', value: 1 } });
  present.name = `present.${name}`;
  present.type = tensorType('float32', [dimensions.batch, dimensions.total, rank]);
  graph.outputs.push(present);
};
