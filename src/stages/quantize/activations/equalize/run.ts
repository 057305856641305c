import { readSiteMatrix, siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import type { Program, Value } from '../../../../ir/graph.ts';
import { elementCount } from '../../../../ir/shape.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import type { Finding } from '../../../../recipe/events.ts';
import { largestByFactor } from '../scaling/largest.ts';
import { unscaled } from '../scaling/pattern.ts';
import { rescale } from '../scaling/rescale.ts';
import { type Folding, traceScaling } from '../scaling/trace.ts';

/** Products whose rows make a value and products whose columns read it. */
interface Pair {
  readonly value: Value;
  readonly readers: readonly Site[];
  readonly folding: Folding;
}

const products = new Set<Site['op']>(['Conv', 'Gemm', 'MatMul']);

const canScale = (site: Site): boolean =>
  products.has(site.op) &&
  siteTensor(site).dtype === 'float32' &&
  site.weight.uses.length === 1 &&
  site.node.inputs[site.weightIndex] === site.weight;

/** Constants of a folding that are weights of products: their rows are what is equalised. */
const makersOf = ({ constants }: Folding): Folding['constants'] =>
  constants.filter(({ node, index }) => index === 1 && ['Conv', 'ConvTranspose', 'Gemm', 'MatMul'].includes(node.op));

const pairsOf = (program: Program, sites: readonly Site[]): Pair[] => {
  const outputs = new Set([...graphsWithin(program.graph)].flatMap((graph) => graph.outputs));
  const byInput = new Map<Value, Site[]>();
  for (const site of sites) if (canScale(site)) byInput.set(site.input, [...(byInput.get(site.input) ?? []), site]);
  return [...byInput].flatMap(([value, readers]) => {
    const axes = new Set(readers.map(({ op }) => (op === 'Conv' ? 1 : -1)));
    const [axis] = axes;
    if (axes.size !== 1 || axis === undefined || value.uses.length !== readers.length) return [];
    const folding = traceScaling(value, axis, outputs);
    return folding && makersOf(folding).length > 0 ? [{ value, readers, folding }] : [];
  });
};

/** Largest magnitude of the columns of all readers that each channel meets: (channels). */
const columnSizes = (readers: readonly Site[], channels: number): Float32Array => {
  const sizes = new Float32Array(channels);
  for (const site of readers) {
    const matrix = readSiteMatrix(site);
    const kernel = site.op === 'Conv' ? elementCount(siteTensor(site).shape.slice(2)) : 1;
    const own = site.columns / kernel;
    for (let index = 0; index < matrix.length; index++) {
      const row = Math.floor(index / site.columns);
      const first = Math.floor(row / (site.rows / site.groups)) * own;
      const channel = first + Math.floor((index % site.columns) / kernel);
      sizes[channel] = Math.max(sizes[channel]!, Math.abs(matrix[index]!));
    }
  }
  return sizes;
};

/** s_i = √(r1_i / r2_i) for each class: then both sides have the range √(r1_i · r2_i). Dead channels get 1. */
const divisorsFor = ({ readers, folding }: Pair): Float32Array => {
  const { classes } = folding;
  const rows = new Map<number, number>();
  for (const maker of makersOf(folding))
    for (const [id, size] of largestByFactor(maker) ?? []) {
      const root = id === unscaled ? unscaled : classes[id - 1]!;
      rows.set(root, Math.max(rows.get(root) ?? 0, size));
    }
  const columns = new Map<number, number>();
  for (const [channel, size] of columnSizes(readers, classes.length).entries())
    columns.set(classes[channel]!, Math.max(columns.get(classes[channel]!) ?? 0, size));
  return Float32Array.from(classes, (id) => {
    const [r1, r2] = [rows.get(id) ?? 0, columns.get(id) ?? 0];
    return id === unscaled || r1 === 0 || r2 === 0 ? 1 : Math.sqrt(r1 / r2);
  });
};

const mostSweeps = 20;
/** Sweeps end when no divisor is further from one than this. */
const settled = 0.02;

/**
 * Cross-layer equalisation (Nagel et al. 2019, section 4.1): channels between products are scaled so that the rows that
 * make them and the columns that read them have equal ranges, again and again over all pairs until nothing moves. What
 * is between must hand a factor on (Relu, pooling, joins; not a bounded activation). Outputs stay as they are. The
 * program is changed.
 */
export const equalizeProgram = (program: Program, sites: readonly Site[]): Finding[] => {
  const pairs = pairsOf(program, sites);
  const names = nameSource(program.graph);
  for (let sweep = 0, change = 1; sweep < mostSweeps && change > settled; sweep++) {
    change = 0;
    for (const pair of pairs) {
      const divisors = divisorsFor(pair);
      change = divisors.reduce((most, divisor) => Math.max(most, Math.abs(Math.log(divisor))), change);
      rescale(program.graph, { ...pair, divisors }, names);
    }
  }
  return [{ kind: 'fact', text: `equalised the ranges of weights on both sides of ${pairs.length} values` }];
};
