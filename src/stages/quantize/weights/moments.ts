import type { Site } from '../../../analysis/sites.ts';
import { isRouted, siteCrosses } from '../../../calibration/statistics/cross.ts';
import { siteGrams } from '../../../calibration/statistics/gram.ts';
import type { BlockVisit } from '../../../execution/block-runner.ts';
import type { Step } from './parts.ts';
import { needsGram, needsOriginal, needsPairs, needsTarget, type WeightUnit } from './plan.ts';

/** What calibration says about the inputs of a weight. */
export interface UnitMoments {
  /** H of each convolution group, and G or T; none of these where they are not asked for or not to be had. */
  readonly grams: readonly Float64Array[];
  readonly crosses: readonly Float64Array[];
  readonly targets: readonly Float64Array[];
  readonly facts: Readonly<Record<string, number>>;
  readonly fallbacks: readonly string[];
}

/** Σ over samples of a moment, and how many there were. */
interface Sum {
  readonly count: number;
  matrix(): Float64Array;
  release(): void;
}

interface Mean {
  /** One matrix a convolution group. */
  readonly matrices: readonly Float64Array[];
  readonly count: number;
}

const countOf = (sums: readonly (readonly Sum[])[]): number =>
  sums.reduce((total, groups) => total + (groups[0]?.count ?? 0), 0);

/** Σ over sites of the sums of each group, as a mean over all their samples. */
const pooled = (sums: readonly (readonly Sum[])[]): Mean => {
  const [first = [], ...others] = sums;
  const count = countOf(sums);
  const scale = 1 / Math.max(1, count);
  const matrices = first.map((sum, group) => {
    const total = sum.matrix();
    for (const other of others) {
      const more = other[group]?.matrix();
      if (more) for (let index = 0; index < total.length; index++) total[index]! += more[index]!;
    }
    for (let index = 0; index < total.length; index++) total[index]! *= scale;
    return total;
  });
  return { matrices, count };
};

/** Means of sums, each made once: sites with the same inputs share the arrays, and what is derived from them. */
class Means {
  readonly #made = new Map<readonly Sum[], Mean>();
  readonly #once: boolean;

  /** @param once whether no sum is asked for but by `of`, so that it is done with when its mean is made. */
  constructor(once: boolean) {
    this.#once = once;
  }

  /** The mean of the sums of all sites that read a constant. */
  of(sums: readonly (readonly Sum[])[]): Mean {
    const [first] = sums;
    if (!first || sums.length > 1) return pooled(sums);
    const known = this.#made.get(first);
    if (known) return known;
    const mean = pooled(sums);
    this.#made.set(first, mean);
    if (this.#once) for (const sum of first) sum.release();
    return mean;
  }
}

/**
 * An expert's own mean with the mean of all experts of its layer in place of `columns` more tokens: where few tokens
 * reached it, the layer's H says more about the tokens that will.
 */
const shrunk = (own: Mean, layer: Mean, columns: number): Mean => {
  const part = columns / (own.count + columns);
  const matrices = own.matrices.map((matrix, group) => {
    const other = layer.matrices[group]!;
    return matrix.map((value, index) => (1 - part) * value + part * other[index]!);
  });
  return { matrices, count: layer.count };
};

/** What there is to say about an H that was estimated from fewer samples than it has columns. */
const shortage = (site: Site, count: number): string[] => {
  const { columns } = site;
  if (count === 0) return ['no calibration input reached it: rounded to nearest'];
  if (count >= columns) return [];
  return [`calibration gives ${count} input vectors for ${columns} columns: H has not full rank, use more samples`];
};

/**
 * One look at the data for all units of a part; sites outside of `here` are not looked at. Gives the moments of a unit;
 * undefined for units that need none.
 */
export const observeMoments = async (
  part: Step,
  here: ReadonlySet<Site>,
  visit: BlockVisit,
): Promise<(unit: WeightUnit) => UnitMoments | undefined> => {
  const sitesHere = (unit: WeightUnit): Site[] => unit.sites.filter((site) => here.has(site));
  const observed = part.filter(needsGram).flatMap(sitesHere);
  const sums = siteGrams(observed);
  const paired = part.filter(needsPairs).flatMap(sitesHere);
  const aimed = part.filter(needsTarget);
  // Constants that several sites read take the mean of all their G: T of one and G of another do not add up.
  const targetEnough = new Set(aimed.map(sitesHere).flatMap((sites) => (sites.length === 1 ? sites : [])));
  const crosses = siteCrosses([...paired, ...aimed.flatMap(sitesHere)], targetEnough);
  await visit.observe(sums.observations, crosses.observations);
  const means = new Means(part.every((unit) => sitesHere(unit).length === 1 && !isRouted(unit.sites[0])));
  const layers = new Map<string, Mean>();

  /** The mean over all experts of a site's layer that have the same kind of input. */
  const layerMean = (site: Site): Mean => {
    const kind = (of: Site): string => `${of.block} ${of.columns} ${of.role === 'expert-down'}`;
    const inputs = new Map(
      observed.filter((of) => isRouted(of) && kind(of) === kind(site)).map((of) => [of.input, of]),
    );
    const known = layers.get(kind(site));
    const mean = known ?? pooled([...inputs.values()].map((of) => sums.gramsOf(of) ?? []));
    layers.set(kind(site), mean);
    return mean;
  };

  return (unit) => {
    if (!needsGram(unit)) return undefined;
    const [site] = unit.sites;
    const members = sitesHere(unit);
    const own = means.of(members.map((member) => sums.gramsOf(member) ?? []));
    const routed = isRouted(site);
    const mean = routed ? shrunk(own, layerMean(site), site.columns) : own;
    /** The mean of sums that all members have; none where one has not. */
    const meanOf = (sumsOf: (site: Site) => readonly Sum[] | undefined): readonly Float64Array[] => {
      const found = members.map(sumsOf).filter((sum) => sum !== undefined);
      return found.length === members.length ? means.of(found).matrices : [];
    };
    const matrices = { crosses: meanOf(crosses.crossesOf), targets: meanOf(crosses.targetsOf) };
    const known = matrices.crosses.length + matrices.targets.length > 0;
    const unpaired =
      known || routed || !needsOriginal(unit)
        ? []
        : ['its inputs have other positions than before: aimed at its own output on present inputs'];
    return {
      grams: mean.matrices,
      ...matrices,
      facts: routed ? { tokens: own.count } : {},
      fallbacks: [...shortage(site, mean.count), ...unpaired],
    };
  };
};
