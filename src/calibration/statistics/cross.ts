import { siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import type { PairObservation } from '../../execution/block-runner.ts';
import type { Value } from '../../ir/graph.ts';
import { elementCount } from '../../ir/shape.ts';
import { CrossGram } from '../../kernels/index.ts';
import type { NumericArray } from '../dataset.ts';
import {
  directionsOf,
  gramObstacle,
  inputValue,
  isConvolution,
  picturesOf,
  plainConvolution,
  statesOf,
  viewKey,
} from './gram.ts';

/** Cross moments of the inputs of sites: what to observe, and where to find the sums afterwards. */
export interface SiteCrosses {
  readonly observations: readonly PairObservation[];
  /**
   * G = Σ x_original xᵀ (columns, columns), one a convolution group; undefined for sites with an obstacle, where the two
   * models do not show a site the same positions, and where T was summed instead.
   */
  crossesOf(site: Site): readonly CrossGram[] | undefined;
  /** T = W G = Σ y_original xᵀ (rows, columns) of sites where that takes less work. */
  targetsOf(site: Site): readonly CrossGram[] | undefined;
}

/** Sites that see what a router sends them: once weights have changed, it may send other tokens. */
export const isRouted = ({ role }: Site): boolean => role?.startsWith('expert-') ?? false;

/** Pairs of unfolded inputs of a convolution, one sum a group. */
const observePatches = (site: Site, crosses: readonly CrossGram[]): PairObservation => ({
  value: site.input,
  observe: async (original, present) => {
    const before = plainConvolution(site, picturesOf(original, site));
    const { pictures, geometry } = plainConvolution(site, picturesOf(present, site));
    const { batch, channels, size, data } = pictures;
    const [height, width] = size;
    for (const [group, cross] of crosses.entries())
      await cross.addPatches(before.pictures.data, data, {
        batch,
        channels,
        height,
        width,
        ...geometry,
        groups: site.groups,
        group,
      });
  },
});

/** Pairs of states of a recurrent layer, one sum a direction. */
const observeStates = (site: Site, crosses: readonly CrossGram[]): PairObservation => ({
  value: inputValue(site),
  observe: async (original, present) => {
    for (const [direction, cross] of crosses.entries()) {
      const [before, now] = [statesOf(site, original, direction), statesOf(site, present, direction)];
      await cross.add(before, now, now.length / cross.n);
    }
  },
});

const observeRows = (site: Site, cross: CrossGram): PairObservation => ({
  value: site.input,
  observe: (original, present) =>
    cross.add(floatsOfArray(original), floatsOfArray(present), elementCount(present.shape) / site.columns),
});

const observationOf = (site: Site, crosses: readonly CrossGram[]): PairObservation => {
  if (isConvolution(site)) return observePatches(site, crosses);
  return inputValue(site) === site.input ? observeRows(site, crosses[0]!) : observeStates(site, crosses);
};

/** Sums of pairs, as long as both models show the same positions. */
interface PairSums {
  readonly sums: readonly CrossGram[];
  alike: boolean;
}

/** Everything but the last axis: the positions of rows. */
const positionsOf = ({ shape }: NumericArray): string => shape.slice(0, -1).join();

/** All of it: where inputs are compared with themselves. */
const shapeOf = ({ shape }: NumericArray): string => shape.join();

/** An observation that ends where the two models no longer show the same, by `seen`. */
const whileAlike = (
  pair: PairSums,
  seen: (array: NumericArray) => string,
  { observe, ...of }: PairObservation,
): PairObservation => ({
  ...of,
  observe: (original, present, run) => {
    if (seen(original) !== seen(present)) pair.alike = false;
    return pair.alike ? observe(original, present, run) : undefined;
  },
});

/** T of a product: the original's outputs, and its inputs as they are now. */
const observeOutputs = (site: Site, target: CrossGram): PairObservation => ({
  ...observeRows(site, target),
  originalName: site.output.name,
});

/**
 * Products whose T takes less to sum than the G of the input that they share: inputs wider than all that is made of
 * them, such as those of a gated layer's down projection.
 */
const cheaperByOutput = (sites: readonly Site[], enough: ReadonlySet<Site>): Set<Site> => {
  const readers = new Map<Value, Site[]>();
  for (const site of sites) readers.set(site.input, [...(readers.get(site.input) ?? []), site]);
  const isPlain = (site: Site): boolean =>
    site.op === 'MatMul' && siteTensor(site).dtype === 'float32' && enough.has(site);
  const rowsOf = (group: readonly Site[]): number => group.reduce((sum, { rows }) => sum + rows, 0);
  return new Set(
    [...readers.values()].filter((group) => group.every(isPlain) && rowsOf(group) < group[0]!.columns).flat(),
  );
};

/**
 * Declares G = Σ x_original xᵀ of the inputs of sites, x_original the same input in the model as it was before anything
 * was quantized: a sum for each distinct input, unfolded patches for convolutions. Of sites in `targetEnough` maybe T =
 * W G instead.
 */
export const siteCrosses = (sites: readonly Site[], targetEnough: ReadonlySet<Site>): SiteCrosses => {
  const byInput = new Map<Value, Map<string, PairSums>>();
  const crosses = new Map<Site, PairSums>();
  const targets = new Map<Site, PairSums>();
  const observations: PairObservation[] = [];
  const seen = sites.filter((site) => gramObstacle(site) === undefined && !isRouted(site));
  const byOutput = cheaperByOutput(seen, targetEnough);
  for (const site of seen) {
    const { rows, columns } = site;
    if (byOutput.has(site)) {
      const pair = { sums: [new CrossGram(rows, columns)], alike: true };
      targets.set(site, pair);
      observations.push(whileAlike(pair, positionsOf, observeOutputs(site, pair.sums[0]!)));
      continue;
    }
    const input = inputValue(site);
    const shared = byInput.get(input) ?? new Map<string, PairSums>();
    byInput.set(input, shared);
    const key = viewKey(site);
    const known = shared.get(key);
    const count = site.groups * directionsOf(site);
    const pair = known ?? { sums: Array.from({ length: count }, () => new CrossGram(columns, columns)), alike: true };
    crosses.set(site, pair);
    if (known) continue;
    shared.set(key, pair);
    observations.push(whileAlike(pair, shapeOf, observationOf(site, pair.sums)));
  }
  const sumsOf = (pair: PairSums | undefined): readonly CrossGram[] | undefined =>
    pair?.alike ? pair.sums : undefined;
  return {
    observations,
    crossesOf: (site) => sumsOf(crosses.get(site)),
    targetsOf: (site) => sumsOf(targets.get(site)),
  };
};
