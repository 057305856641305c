import { siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import { internalError } from '../../errors.ts';
import { freshName } from '../../ir/edit/names.ts';
import { Node, Value } from '../../ir/graph.ts';
import { arrayOfMatrix } from '../../ir/matrix-layout.ts';
import { intTensor } from '../../ir/read.ts';
import { MemoryTensor } from '../../ir/tensor.ts';
import { floatToBytes } from '../../kernels/index.ts';
import type { PrivateFactors, SharedWeights } from './methods/method.ts';

type WeightType = 'float32' | 'float16' | 'bfloat16';

const addFloats = (site: Site, numbers: Float32Array, shape: readonly number[], suffix: string): Value => {
  const dtype = siteTensor(site).dtype as WeightType;
  const name = freshName(site.graph, `${site.weight.name}.${suffix}`);
  return site.graph.addInitializer(name, new MemoryTensor(dtype, shape, floatToBytes(numbers, dtype)));
};

/** A matrix (rows, columns) as the site's operator holds its weight. */
const arrayFor = (site: Site, matrix: Float64Array, shape: readonly number[]): Float32Array =>
  arrayOfMatrix(Float32Array.from(matrix), shape, site.layout);

/** A matrix as the right factor of a MatMul: (columns, rows). */
const asProduct = (site: Site, matrix: Float64Array, rows: number, columns: number, suffix: string): Value =>
  addFloats(site, arrayOfMatrix(Float32Array.from(matrix), [columns, rows], 'rows-last'), [columns, rows], suffix);

interface NodeFields {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly suffix: string;
  /** Stand after the site's node rather than before it. */
  readonly place: 'before' | 'after';
}

/** A node of one output with the site's role and block. */
const addNode = (site: Site, { op, inputs, suffix, place }: NodeFields): Node => {
  const { graph } = site;
  const name = freshName(graph, `${site.name}.${suffix}`);
  const node = new Node({ op, name, inputs, outputs: [new Value(freshName(graph, `${site.output.name}.${suffix}`))] });
  for (const [key, text] of site.node.metadata) node.metadata.set(key, text);
  return place === 'before' ? graph.insert(node, site.node) : graph.insertAfter(node, site.node);
};

const outputOf = (node: Node): Value => node.outputs[0]!;

const dropWeight = (site: Site, weight: Value): void => {
  if (weight.uses.length > 0 || site.graph.inputs.includes(weight)) return;
  const { producer } = weight;
  if (producer) site.graph.remove(producer);
  else site.graph.initializers.delete(weight);
};

/** Adds left (right x) to a site's output; what read the output reads the sum, which has its name. Gives what left computes. */
const addPrivate = (site: Site, input: Value, { left, right, rank }: PrivateFactors): Value => {
  const { node, output, rows, columns } = site;
  const inner = asProduct(site, right, rank, columns, 'right');
  const outer = asProduct(site, left, rows, rank, 'left');
  const first = addNode(site, { op: 'MatMul', inputs: [input, inner], suffix: 'right', place: 'before' });
  const second = addNode(site, { op: 'MatMul', inputs: [outputOf(first), outer], suffix: 'left', place: 'before' });
  const whole = new Value(freshName(site.graph, `${output.name}.shared`));
  node.setOutput(0, whole);
  const sum = new Node({
    op: 'Add',
    name: freshName(site.graph, `${site.name}.sum`),
    inputs: [whole, outputOf(second)],
    outputs: [output],
  });
  for (const [key, text] of node.metadata) sum.metadata.set(key, text);
  site.graph.insertAfter(sum, node);
  return outputOf(second);
};

/** A private product beside what a layer shares. */
export interface PrivateProduct {
  /** Place of the layer among those that share. */
  readonly layer: number;
  readonly output: Value;
  /** What the layer computes, the shared part and the private one. */
  readonly sum: Value;
}

const shareBasis = (
  sites: readonly Site[],
  { basis, coefficients, rank }: Extract<SharedWeights, { kind: 'basis' }>,
): void => {
  const [first] = sites;
  const shared = asProduct(first!, basis, rank, first!.columns, 'basis');
  sites.forEach((site, layer) => {
    const { node, weight, input, rows, layout } = site;
    const shape = layout === 'rows-last' ? [rank, rows] : [rows, rank];
    const turned = addNode(site, { op: 'MatMul', inputs: [input, shared], suffix: 'basis', place: 'before' });
    node.setInput(0, outputOf(turned));
    node.setInput(
      site.weightIndex,
      addFloats(site, arrayFor(site, coefficients[layer]!, shape), shape, 'coefficients'),
    );
    dropWeight(site, weight);
  });
};

/** Whether layers mix what they share, so that a runtime that folds constants holds a weight for each. */
const isMixed = ({ atoms, coefficients }: Pick<Extract<SharedWeights, { kind: 'atoms' }>, 'atoms' | 'coefficients'>) =>
  atoms.length > 1 || coefficients.some(([factor]) => factor !== 1);

/** Elements that a runtime holds beyond those that are stored, once it has folded constants. */
export const foldedElements = (sites: readonly Site[], weights: SharedWeights): number => {
  if (weights.kind === 'basis' || !isMixed(weights)) return 0;
  const { rows, columns } = sites[0]!;
  return (sites.length - weights.atoms.length) * rows * columns - sites.length * weights.atoms.length;
};

/** One atom read as it is, or several mixed by each layer: coefficients (1, atoms) times atoms (atoms, elements). */
const shareAtoms = (
  sites: readonly Site[],
  { atoms, coefficients, residuals }: Extract<SharedWeights, { kind: 'atoms' }>,
): PrivateProduct[] => {
  const [first] = sites;
  if (!first || atoms.length === 0) throw internalError('atoms are shared by nothing, or there are none');
  const shape = siteTensor(first).shape;
  const size = first.rows * first.columns;
  const plain = !isMixed({ atoms, coefficients });
  const held = new Float32Array(atoms.length * size);
  atoms.forEach((atom, index) => {
    held.set(arrayFor(first, atom, shape), index * size);
  });
  const shared = addFloats(first, held, plain ? shape : [atoms.length, size], 'shared');
  const target = plain
    ? undefined
    : first.graph.addInitializer(
        freshName(first.graph, `${first.weight.name}.shape`),
        intTensor([shape.length], shape),
      );
  const products: PrivateProduct[] = [];
  sites.forEach((site, layer) => {
    const { node, weight, input, output: sum } = site;
    const rest = residuals[layer];
    if (rest) products.push({ layer, output: addPrivate(site, input, rest), sum });
    let mixed = shared;
    if (target) {
      const mix = addFloats(site, Float32Array.from(coefficients[layer]!), [1, atoms.length], 'coefficients');
      const flat = addNode(site, { op: 'MatMul', inputs: [mix, shared], suffix: 'mixed', place: 'before' });
      mixed = outputOf(
        addNode(site, { op: 'Reshape', inputs: [outputOf(flat), target], suffix: 'weight', place: 'before' }),
      );
    }
    node.setInput(site.weightIndex, mixed);
    dropWeight(site, weight);
  });
  return products;
};

/**
 * Makes sites of several layers read shared constants: one initializer, several uses. The sites' outputs keep their
 * names. Look sites up again afterwards. Gives the private products beside what is shared.
 */
export const shareSites = (sites: readonly Site[], weights: SharedWeights): readonly PrivateProduct[] => {
  if (weights.kind === 'atoms') return shareAtoms(sites, weights);
  shareBasis(sites, weights);
  return [];
};
