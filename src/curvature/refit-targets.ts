import type { Block } from '../analysis/blocks.ts';
import { findResidualWriters, type ResidualWriter } from '../analysis/residual-writers.ts';
import { findSites, type Site } from '../analysis/sites.ts';
import { gramObstacle } from '../calibration/statistics/gram.ts';
import type { Program, Value } from '../ir/graph.ts';
import { PackedTensor } from '../ir/packed-tensor.ts';
import { constantOf } from '../ir/walk.ts';
import type { FactoredWeight } from './refit-factors.ts';

/** Which products a refit corrects: those that write to a residual stream, or all that can be. */
export type RefitScope = 'stream' | 'all';

/** A product that was written as two, the first of which the second reads. */
export interface FactorPair {
  /** The first product: it reads what the weight read. */
  readonly inner: Site;
  readonly source: FactoredWeight;
}

/** A consumer whose output is compared with a value of the original program. */
export interface RefitTarget {
  readonly site: Site;
  /** What is compared: the stream that the site writes to, or its own output. */
  readonly value: Value;
  readonly gains: Float64Array | undefined;
  /** Set where both factors are made anew. */
  readonly pair: FactorPair | undefined;
}

const canBeRefitted = (site: Site): boolean => {
  const tensor = constantOf(site.weight);
  if (!tensor || tensor instanceof PackedTensor || tensor.dtype === 'float64') return false;
  if (site.weight.uses.length !== 1 || site.op === 'ConvTranspose' || gramObstacle(site)) return false;
  return site.op === 'MatMul' || site.op === 'Gemm' || site.op === 'Conv';
};

const pairOf = (
  site: Site,
  byNode: ReadonlyMap<Site['node'], Site>,
  factored: ReadonlyMap<string, FactoredWeight>,
): FactorPair | undefined => {
  const source = factored.get(site.output.name);
  const inner = site.input.producer && byNode.get(site.input.producer);
  if (!source || !inner || !canBeRefitted(inner)) return undefined;
  return site.rows === source.rows && inner.columns === source.columns ? { inner, source } : undefined;
};

/**
 * Products that a refit corrects, in execution order: sites that write to a residual stream, against the stream; with
 * scope 'all', and in a graph without any sum of activations, all other sites too, each against its own output. Never a
 * weight that several products share, and no integers. The first factor of a pair is part of its second.
 */
export const refitTargets = (
  program: Program,
  scope: RefitScope,
  factored: ReadonlyMap<string, FactoredWeight>,
): RefitTarget[] => {
  const writers = new Map(findResidualWriters(program).map((writer) => [writer.site.node, writer]));
  const sites = findSites(program);
  const byNode = new Map(sites.map((site) => [site.node, site]));
  const pairs = new Map(sites.map((site) => [site, pairOf(site, byNode, factored)]));
  const inner = new Set([...pairs.values()].map((pair) => pair?.inner));
  const writersAlone = scope === 'stream' && writers.size > 0;
  return sites.flatMap((site): RefitTarget[] => {
    const writer: ResidualWriter | undefined = writers.get(site.node);
    if (inner.has(site) || !canBeRefitted(site) || (writersAlone && !writer)) return [];
    const pair = pairs.get(site);
    return [{ site, value: writer?.stream ?? pair?.source.compared ?? site.output, gains: writer?.gains, pair }];
  });
};

/** The sites of a target whose constants a refit replaces. */
export const sitesOfTarget = ({ site, pair }: RefitTarget): Site[] => (pair ? [pair.inner, site] : [site]);

/** Whether a block computes all of a target. */
export const isIn = (block: Block, target: RefitTarget): boolean =>
  sitesOfTarget(target).every(({ node }) => block.sites.some((other) => other.node === node));

/** The products of a target as the one that they stand for: what is read, and how many outputs there are. */
export const wholeOf = ({ site, pair }: RefitTarget): Site =>
  pair ? { ...pair.inner, name: site.name, rows: site.rows, role: site.role } : site;
