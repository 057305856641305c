import { readSiteMatrix, siteTensor } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import type { Program } from '../../ir/graph.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { constantOf } from '../../ir/walk.ts';
import { matmul } from '../../kernels/index.ts';
import type { Finding } from '../../recipe/events.ts';
import { addConstant } from './write/place.ts';

/** Two products of which the second alone reads the first. */
interface Pair {
  readonly inner: Site;
  readonly outer: Site;
}

const isOwn = ({ weight, node, weightIndex }: Site): boolean => {
  const tensor = constantOf(weight);
  const own = tensor !== undefined && !(tensor instanceof PackedTensor) && tensor.dtype !== 'float64';
  return own && weight.uses.length === 1 && node.inputs[weightIndex] === weight;
};

/** The pairs whose product has no more elements than both of them. */
const pairsIn = (program: Program): Pair[] => {
  const sites = findSites(program).filter(({ graph }) => graph === program.graph);
  const byOutput = new Map(sites.map((site) => [site.output, site]));
  return sites.flatMap((outer): Pair[] => {
    const inner = byOutput.get(outer.input);
    if (inner?.op !== 'MatMul' || (outer.op !== 'MatMul' && outer.op !== 'Gemm')) return [];
    if (
      !isOwn(inner) ||
      !isOwn(outer) ||
      inner.output.uses.length !== 1 ||
      program.graph.outputs.includes(inner.output)
    )
      return [];
    if (siteTensor(inner).dtype !== siteTensor(outer).dtype) return [];
    const smaller = outer.rows * inner.columns <= inner.rows * (outer.rows + inner.columns);
    return smaller ? [{ inner, outer }] : [];
  });
};

/**
 * Writes two products, one right after the other, as one where that has no more elements: factors whose rank grew too
 * large for what channels they still have, or bottlenecks that a model came with. In place; gives the names of the
 * products that remain.
 */
export const mergeProducts = async (program: Program, signal?: AbortSignal): Promise<string[]> => {
  const merged: string[] = [];
  for (;;) {
    const [pair] = pairsIn(program);
    if (!pair) return merged;
    const { inner, outer } = pair;
    const { rows, layout, node, weightIndex } = outer;
    const { columns } = inner;
    const weight = await matmul({
      a: Float64Array.from(readSiteMatrix(outer)),
      rows,
      inner: inner.rows,
      b: Float64Array.from(readSiteMatrix(inner)),
      columns,
      signal,
    });
    const shape = layout === 'rows-last' ? [columns, rows] : [rows, columns];
    node.setInput(weightIndex, addConstant(outer, weight, shape, { layout, suffix: 'merged' }));
    node.setInput(0, inner.input);
    removeDead(program);
    merged.push(outer.name);
  }
};

/** What a report says of products that were merged. */
export const mergedFinding = (merged: readonly string[]): Finding[] =>
  merged.length === 0
    ? []
    : [
        {
          kind: 'fact',
          text: `${merged.length} pairs of factors are one product again, which is smaller: ${merged.join(', ')}`,
        },
      ];
