import { siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import { internalError } from '../../errors.ts';
import { freshName } from '../../ir/edit/names.ts';
import { intsAttribute, Node, Value } from '../../ir/graph.ts';
import { arrayOfMatrix, type MatrixLayout } from '../../ir/matrix-layout.ts';
import { MemoryTensor } from '../../ir/tensor.ts';
import { floatToBytes } from '../../kernels/index.ts';
import type { Factors } from './methods/method.ts';
import type { TuckerFactors, TuckerRanks } from './methods/tucker.ts';

/** Why a site cannot be written as two products; undefined when it can. */
export const factorObstacle = (site: Site): string | undefined => {
  const { dtype, kind } = siteTensor(site);
  if (kind === 'packed') return 'it holds integers already: factorise before quantizing';
  if (dtype === 'float64') return 'weights of type float64 are not changed';
  if (site.weight.uses.length > 1) return 'its constant is read in several places';
  if (site.node.inputs[site.weightIndex] !== site.weight) return 'its constant is read through a Transpose';
  if (site.op === 'Conv' && site.groups > 1) return 'grouped convolutions have few inputs an output';
  if (site.op !== 'MatMul' && site.op !== 'Gemm' && site.op !== 'Conv')
    return `${site.op} has no form with two factors`;
  return undefined;
};

type WeightType = 'float32' | 'float16' | 'bfloat16';

/** A matrix as a new constant beside the site's, of the same element type. */
const addConstant = (
  site: Site,
  matrix: Float64Array,
  shape: readonly number[],
  { layout, suffix }: { readonly layout: MatrixLayout; readonly suffix: string },
): Value => {
  const dtype = siteTensor(site).dtype as WeightType;
  const bytes = floatToBytes(arrayOfMatrix(Float32Array.from(matrix), shape, layout), dtype);
  const name = freshName(site.graph, `${site.weight.name}.${suffix}`);
  return site.graph.addInitializer(name, new MemoryTensor(dtype, shape, bytes));
};

/** A node with another one's role, block and name. */
const insertBefore = (site: Site, node: Node): Node => {
  for (const [key, text] of site.node.metadata) node.metadata.set(key, text);
  return site.graph.insert(node, site.node);
};

const namesFor = (site: Site): { name: string; output: Value } => ({
  name: freshName(site.graph, `${site.name}.right`),
  output: new Value(freshName(site.graph, `${site.output.name}.right`)),
});

/** y = W x as y = left (right x): the site's node keeps its name, output and bias and reads the new node's output. */
const factorProduct = (site: Site, { left, right }: Factors, rank: number): Node => {
  const { node, rows, columns, layout } = site;
  const { name, output } = namesFor(site);
  const inner = addConstant(site, right, [columns, rank], { layout: 'rows-last', suffix: 'right' });
  const outer = layout === 'rows-last' ? [rank, rows] : [rows, rank];
  node.setInput(site.weightIndex, addConstant(site, left, outer, { layout, suffix: 'left' }));
  node.setInput(0, output);
  return insertBefore(site, new Node({ op: 'MatMul', name, inputs: [site.input, inner], outputs: [output] }));
};

/** A convolution as one of `rank` outputs with the same filter places, and a pointwise one of them. */
const factorConvolution = (
  site: Site,
  { left, right }: Factors,
  rank: number,
  filter: readonly number[] = siteTensor(site).shape.slice(1),
): Node => {
  const { node, rows, layout } = site;
  const pointwise = filter.slice(1).map(() => 1);
  const { name, output } = namesFor(site);
  const attributes = new Map(node.attributes);
  const inner = addConstant(site, right, [rank, ...filter], { layout, suffix: 'right' });
  node.setInput(site.weightIndex, addConstant(site, left, [rows, rank, ...pointwise], { layout, suffix: 'left' }));
  node.setInput(0, output);
  for (const key of ['strides', 'pads', 'dilations', 'auto_pad', 'group']) node.attributes.delete(key);
  node.setAttribute('kernel_shape', intsAttribute(pointwise));
  return insertBefore(site, new Node({ op: 'Conv', name, inputs: [site.input, inner], outputs: [output], attributes }));
};

/** Removes the constant of a site that nothing reads any more. */
const dropWeight = (site: Site): void => {
  if (site.weight.uses.length > 0 || site.graph.inputs.includes(site.weight)) return;
  const { producer } = site.weight;
  if (producer) site.graph.remove(producer);
  else site.graph.initializers.delete(site.weight);
};

/**
 * Writes a site as two products of a rank. The second keeps the node (name, output, bias), so that what reads or looks
 * for the site's output finds it; the first has the site's role and block. Look sites up again afterwards.
 */
export const factorSite = (site: Site, factors: Factors, rank: number): Node => {
  const first = site.op === 'Conv' ? factorConvolution(site, factors, rank) : factorProduct(site, factors, rank);
  dropWeight(site);
  return first;
};

/** Writes a convolution as three: pointwise to the inner channels, the filter, pointwise to the outputs with the bias. */
export const factorTucker = (site: Site, { input, core, output }: TuckerFactors, ranks: TuckerRanks): void => {
  const [, channels = 1, ...places] = siteTensor(site).shape;
  const pointwise = places.map(() => 1);
  const narrow = addConstant(site, input, [ranks.channels, channels, ...pointwise], {
    layout: 'rows-first',
    suffix: 'input',
  });
  const inner = new Value(freshName(site.graph, `${site.output.name}.input`));
  const original = site.input;
  factorConvolution(site, { left: output, right: core }, ranks.rows, [ranks.channels, ...places]);
  const middle = site.node.inputs[0]?.producer;
  if (!middle) throw internalError('a convolution lost its filter while it was factorised', { site: site.name });
  middle.setInput(0, inner);
  const first = new Node({
    op: 'Conv',
    name: freshName(site.graph, `${site.name}.input`),
    inputs: [original, narrow],
    outputs: [inner],
    attributes: { kernel_shape: intsAttribute(pointwise) },
  });
  for (const [key, text] of site.node.metadata) first.metadata.set(key, text);
  site.graph.insert(first, middle);
  dropWeight(site);
};
