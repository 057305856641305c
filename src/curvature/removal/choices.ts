import { readSiteMatrix } from '../../analysis/site-weights.ts';
import { CompressError } from '../../errors.ts';
import {
  type Curvature,
  gradientDiagonal,
  gradientMoment,
  inputMoment,
  lossScale,
  positionsPerItem,
  type SiteCurvature,
} from '../moments.ts';
import { type RemovalConsumer, type RemovalOptions, type RemovalOrder, removalOrder } from '../obs-removal.ts';
import {
  addCosts,
  type CompressionChoice,
  type CompressionOption,
  noCost,
  type OptionCost,
  sumCosts,
} from '../options.ts';
import type { WeightCosts } from './costs.ts';
import type { RemovalPool } from './pools.ts';

/** What an option of removal takes out of its pool. */
export interface RemovalPick {
  readonly pool: RemovalPool;
  /** Units that go, the cheapest first. */
  readonly units: readonly number[];
}

/** Which counts of a pool may be offered. */
export interface CountLimits {
  /** Channels that stay of every group are a multiple of this, unless a group stays whole. */
  readonly multiple: number;
  /** Share of the channels of a group that may go at most, from 0 to 1. */
  readonly most: number;
  /** All may go: the branch that they make up then goes too. */
  readonly mayEmpty: boolean;
}

/**
 * Nats per unit of tr(B ΔW A ΔWᵀ). Where an item has many positions that see much the same (a picture), the true trace
 * of the Fisher information says how much they add up to; with one position an item the factors are taken as they are,
 * which predicts the loss of removals more closely.
 */
const scaleOf = (known: SiteCurvature): number => {
  const positions = positionsPerItem(known);
  return positions > 1 ? lossScale(known) : 0.5 * positions;
};

/** Products that read a pool as the mathematics of removal sees them. */
export const consumersOf = (pool: RemovalPool, curvature: Curvature): RemovalConsumer[] =>
  pool.consumers.map(({ site, lines }) => {
    const known = curvature.sites.get(site.name);
    if (!known)
      throw new CompressError({
        code: 'unsupported',
        message: `there are no second moments of the inputs of ${site.name}`,
        where: { site: site.name },
        hint: 'Leave these channels out (ignore), or choose a method that needs no data.',
      });
    return {
      weight: readSiteMatrix(site),
      rows: site.rows,
      columns: site.columns,
      inputMoment: inputMoment(known),
      outputMoment: gradientMoment(known) ?? gradientDiagonal(known),
      scale: scaleOf(known),
      units: lines,
    };
  });

/** Options beyond these many a pool are thinned out evenly. */
const mostOptions = 256;

/** How many of each group are left after the first `count` units of an order. */
const leftOf = (pool: RemovalPool, order: readonly number[], count: number): Map<string, number> => {
  const left = new Map(pool.groups.map(({ name, count: all }) => [name, all]));
  for (const unit of order.slice(0, count)) {
    const { name } = pool.units[unit]!.group;
    left.set(name, left.get(name)! - 1);
  }
  return left;
};

const isOffered = (pool: RemovalPool, left: ReadonlyMap<string, number>, limits: CountLimits): boolean => {
  const all = [...left.values()].every((count) => count === 0);
  if (all) return limits.mayEmpty && limits.most === 1;
  return pool.groups.every(({ name, count: whole }) => {
    const count = left.get(name)!;
    if (count === whole) return true;
    return count > 0 && count % limits.multiple === 0 && whole - count <= limits.most * whole + 1e-9;
  });
};

/** The options of a pool along an order of removal: what stays, what it costs, what it loses. */
export const choiceOf = (
  pool: RemovalPool,
  { order, losses }: RemovalOrder,
  costs: WeightCosts,
  limits: CountLimits,
): CompressionChoice<RemovalPick> => {
  const savings = pool.units.map(({ group, channel }) => costs.saving(group, channel));
  const total = sumCosts(savings);
  const counts = order.map((_, index) => index).filter((index) => isOffered(pool, leftOf(pool, order, index), limits));
  if (isOffered(pool, leftOf(pool, order, order.length), limits)) counts.push(order.length);
  const step = Math.max(1, counts.length / mostOptions);
  const offered = counts.filter(
    (_, index) => index === counts.length - 1 || Math.floor(index / step) > Math.floor((index - 1) / step),
  );
  let gone = noCost;
  let at = 0;
  const options = offered.map((count): CompressionOption<RemovalPick> => {
    while (at < count) gone = addCosts(gone, savings[order[at++]!]!);
    return {
      kind: count === 0 ? 'dense' : 'removal',
      label: `${pool.units.length - count} of ${pool.units.length} ${pool.groups[0]!.kind}`,
      cost: subtract(total, gone),
      loss: losses[count]!,
      data: { pool, units: order.slice(0, count) },
    };
  });
  return { name: pool.name, sites: pool.consumers.map(({ site }) => site.name), options };
};

const subtract = (a: OptionCost, b: OptionCost): OptionCost => ({
  bytes: a.bytes - b.bytes,
  parameters: a.parameters - b.parameters,
  operations: a.operations - b.operations,
});

/**
 * The order in which the units of a pool go in the curvature metric (see `removalOrder`), those of unlike groups by what
 * they save.
 */
export const curvatureOrder = (
  pool: RemovalPool,
  curvature: Curvature,
  costs: WeightCosts,
  options: Pick<RemovalOptions, 'damp' | 'outputDamp' | 'signal'> = {},
): Promise<RemovalOrder> => {
  const alike = pool.groups.length === 1;
  const savings = pool.units.map(({ group, channel }) => costs.saving(group, channel).parameters || 1);
  return removalOrder(consumersOf(pool, curvature), { ...options, ...(alike ? {} : { savings }) });
};
