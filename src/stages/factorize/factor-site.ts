import { siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import { intsAttribute, Node } from '../../ir/graph.ts';
import type { Factors } from './methods/method.ts';
import { addConstant, dropWeight, insertBefore, namesFor } from './write/place.ts';

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
export const factorConvolution = (
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

/**
 * Writes a site as two products of a rank. The second keeps the node (name, output, bias), so that what reads or looks
 * for the site's output finds it; the first has the site's role and block. Look sites up again afterwards.
 */
export const factorSite = (site: Site, factors: Factors, rank: number): Node => {
  const first = site.op === 'Conv' ? factorConvolution(site, factors, rank) : factorProduct(site, factors, rank);
  dropWeight(site);
  return first;
};
