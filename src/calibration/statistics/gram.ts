import {
  type ConvolutionGeometry,
  convolutionGeometry,
  spatialRank,
  transposedGeometry,
} from '../../analysis/convolution.ts';
import { siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import { CompressError } from '../../errors.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import type { Observation, Observer } from '../../execution/observe.ts';
import { elementCount } from '../../ir/shape.ts';
import { GramAccumulator } from '../../kernels/index.ts';
import type { NumericArray } from '../dataset.ts';
import { mirrorForTransposed, type Pictures } from './transposed-patches.ts';

/**
 * Why no second moment of a site's inputs can be gathered; undefined when it can. A product's input must be a value
 * of the main graph, and a product with matrices is needed.
 */
export const gramObstacle = (site: Site): string | undefined => {
  if (site.graph.ownerNode) return 'it stands in a branch or loop body, whose values cannot be observed';
  if (site.op === 'Gather') return 'a lookup multiplies nothing';
  if ((site.op === 'LSTM' || site.op === 'GRU') && site.weightIndex !== 1)
    return 'its inputs are the hidden states of the cell, which are no values of the graph';
  if (site.op === 'Conv' || site.op === 'ConvTranspose') {
    const { shape } = siteTensor(site);
    if (!spatialRank(shape)) return `convolutions over ${shape.length - 2} dimensions are not unfolded`;
  }
  return undefined;
};

/** Bytes that the second moments of a site's inputs take in memory, all groups together. */
export const gramBytes = (site: Site): number => 8 * site.columns ** 2 * site.groups;

const wrongShape = (site: Site, array: NumericArray): CompressError =>
  new CompressError({
    code: 'mismatch',
    message: `an input of shape [${array.shape.join(', ')}] does not belong to a weight of ${site.columns} columns`,
    where: { site: site.name },
  });

/** The input of a convolution as pictures; one dimension counts as height 1. @throws 'mismatch' for other ranks. */
export const picturesOf = (array: NumericArray, site: Site): Pictures => {
  const [batch = 0, channels = 0, ...spatial] = array.shape;
  const [height = 0, width = 0] = spatial.length === 1 ? [1, spatial[0]] : spatial;
  if (spatial.length < 1 || spatial.length > 2) throw wrongShape(site, array);
  return { data: floatsOfArray(array), batch, channels, size: [height, width] };
};

/** The plain convolution whose unfolded inputs are the columns of a site's matrix. */
export const plainConvolution = (
  site: Site,
  given: Pictures,
): { pictures: Pictures; geometry: ConvolutionGeometry } => {
  const { shape } = siteTensor(site);
  if (site.op === 'Conv') return { pictures: given, geometry: convolutionGeometry(site.node, shape, given.size) };
  const transposed = transposedGeometry(site.node, shape, given.size);
  const { kernel, dilations } = transposed;
  return {
    pictures: mirrorForTransposed(given, transposed),
    geometry: { kernel, dilations, strides: [1, 1], pads: [0, 0, 0, 0] },
  };
};

/** Unfolded inputs of a convolution, one accumulator a group. */
const patchObserver = (site: Site, grams: readonly GramAccumulator[]): Observer => ({
  observe: async (array) => {
    const { pictures, geometry } = plainConvolution(site, picturesOf(array, site));
    const { batch, channels, size, data } = pictures;
    const [height, width] = size;
    for (const [group, gram] of grams.entries())
      await gram.addPatches(data, { batch, channels, height, width, ...geometry, groups: site.groups, group });
  },
});

/** Rows of a matrix product: everything before the last axis. */
const rowObserver = (site: Site, gram: GramAccumulator): Observer => ({
  observe: async (array) => {
    if (array.shape.at(-1) !== gram.n) throw wrongShape(site, array);
    await gram.add(floatsOfArray(array), elementCount(array.shape) / gram.n);
  },
});

/** Sites with the same key see the same columns, so they share their second moments. */
const keyOf = (site: Site): string => {
  if (site.op !== 'Conv' && site.op !== 'ConvTranspose') return `rows ${site.columns}`;
  const { node } = site;
  const geometry = ['strides', 'dilations', 'pads', 'output_padding', 'output_shape'].map(
    (name) => node.ints(name) ?? [],
  );
  return JSON.stringify([site.op, siteTensor(site).shape.slice(2), site.groups, node.text('auto_pad') ?? '', geometry]);
};

/** Second moments of the inputs of sites: what to observe, and where to find the sums afterwards. */
export interface SiteGrams {
  readonly observations: readonly Observation[];
  /** XᵀX (columns, columns) of a site's inputs, one a convolution group; undefined for sites with an obstacle. */
  gramsOf(site: Site): readonly GramAccumulator[] | undefined;
}

/**
 * Declares the second moments A = Σ x xᵀ of the inputs of sites: a sum for each distinct input, unfolded patches for
 * convolutions. Sites that `gramObstacle` names a reason for are left out.
 */
export const siteGrams = (sites: readonly Site[]): SiteGrams => {
  const byInput = new Map<Site['input'], Map<string, readonly GramAccumulator[]>>();
  const bySite = new Map<Site, readonly GramAccumulator[]>();
  const observations: Observation[] = [];
  for (const site of sites) {
    if (gramObstacle(site)) continue;
    const shared = byInput.get(site.input) ?? new Map<string, readonly GramAccumulator[]>();
    byInput.set(site.input, shared);
    const key = keyOf(site);
    const known = shared.get(key);
    const grams = known ?? Array.from({ length: site.groups }, () => new GramAccumulator(site.columns));
    bySite.set(site, grams);
    if (known) continue;
    shared.set(key, grams);
    const convolution = site.op === 'Conv' || site.op === 'ConvTranspose';
    observations.push({
      value: site.input,
      observer: convolution ? patchObserver(site, grams) : rowObserver(site, grams[0]!),
    });
  }
  return { observations, gramsOf: (site) => bySite.get(site) };
};
