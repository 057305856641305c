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
import type { Value } from '../../ir/graph.ts';
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
  if (readsStates(site) && !site.node.outputs[0])
    return 'its inputs are the states of the layer, of which the graph only gives the last';
  if (site.op === 'Conv' || site.op === 'ConvTranspose') {
    const { shape } = siteTensor(site);
    if (!spatialRank(shape)) return `convolutions over ${shape.length - 2} dimensions are not unfolded`;
  }
  return undefined;
};

/** True for the recurrent weight of a layer, whose inputs are the states that the layer gives as its output. */
const readsStates = (site: Site): boolean => (site.op === 'LSTM' || site.op === 'GRU') && site.weightIndex === 2;

/** The value that a site's inputs are found in. */
export const inputValue = (site: Site): Value => (readsStates(site) ? site.node.outputs[0]! : site.input);

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

/**
 * States of a recurrent layer, (sequence, directions, batch, size) or (batch, sequence, directions, size): the rows of
 * one direction. Each state is an input of the next step; that the last one is not, and zeros are, is neglected.
 */
export const statesOf = (site: Site, array: NumericArray, direction: number): Float32Array => {
  const { shape } = array;
  const directionAxis = site.node.int('layout', 0) === 0 ? 1 : 2;
  const directions = shape[directionAxis] ?? 0;
  const size = shape.at(-1) ?? 0;
  if (shape.length !== 4 || size !== site.columns || direction >= directions) throw wrongShape(site, array);
  const data = floatsOfArray(array);
  if (directions === 1) return data;
  const run = elementCount(shape.slice(directionAxis + 1));
  const states = new Float32Array(data.length / directions);
  for (let from = direction * run, to = 0; from < data.length; from += directions * run, to += run)
    states.set(data.subarray(from, from + run), to);
  return states;
};

/** Directions of a recurrent weight: each has states of its own. 1 for all other sites. */
export const directionsOf = (site: Site): number => (readsStates(site) ? (siteTensor(site).shape[0] ?? 1) : 1);

const stateObserver = (site: Site, grams: readonly GramAccumulator[]): Observer => ({
  observe: async (array) => {
    for (const [direction, gram] of grams.entries()) {
      const states = statesOf(site, array, direction);
      await gram.add(states, states.length / gram.n);
    }
  },
});

/** Rows of a matrix product: everything before the last axis. */
const rowObserver = (site: Site, gram: GramAccumulator): Observer => ({
  observe: async (array) => {
    if (array.shape.at(-1) !== gram.n) throw wrongShape(site, array);
    await gram.add(floatsOfArray(array), elementCount(array.shape) / gram.n);
  },
});

/** True for sites whose columns are unfolded filters. */
export const isConvolution = (site: Site): boolean => site.op === 'Conv' || site.op === 'ConvTranspose';

/** Sites that read the same input with the same key see the same columns, so they share their second moments. */
export const viewKey = (site: Site): string => {
  if (readsStates(site)) return `states ${site.columns}`;
  if (!isConvolution(site)) return `rows ${site.columns}`;
  const { node } = site;
  const geometry = ['strides', 'dilations', 'pads', 'output_padding', 'output_shape'].map(
    (name) => node.ints(name) ?? [],
  );
  return JSON.stringify([site.op, siteTensor(site).shape.slice(2), site.groups, node.text('auto_pad') ?? '', geometry]);
};

const observerOf = (site: Site, grams: readonly GramAccumulator[]): Observer => {
  if (readsStates(site)) return stateObserver(site, grams);
  return isConvolution(site) ? patchObserver(site, grams) : rowObserver(site, grams[0]!);
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
    const value = inputValue(site);
    const shared = byInput.get(value) ?? new Map<string, readonly GramAccumulator[]>();
    byInput.set(value, shared);
    const key = viewKey(site);
    const known = shared.get(key);
    const grams =
      known ?? Array.from({ length: site.groups * directionsOf(site) }, () => new GramAccumulator(site.columns));
    bySite.set(site, grams);
    if (known) continue;
    shared.set(key, grams);
    observations.push({ value, observer: observerOf(site, grams) });
  }
  return { observations, gramsOf: (site) => bySite.get(site) };
};
