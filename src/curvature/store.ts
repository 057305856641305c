import { findBlocks } from '../analysis/blocks.ts';
import { findSites, type Site } from '../analysis/sites.ts';
import type { Dataset } from '../calibration/dataset.ts';
import { gramBytes, gramObstacle } from '../calibration/statistics/gram.ts';
import { CompressError } from '../errors.ts';
import { programFingerprint } from '../ir/fingerprint.ts';
import type { Program } from '../ir/graph.ts';
import { hashBytes } from '../kernels/index.ts';
import type { StageContext } from '../stages/stage.ts';
import { collectCurvature } from './collect.ts';
import { withLayerMoments } from './expert-moments.ts';
import { type Curvature, mostFullRows } from './moments.ts';
import { CurvatureWriter, entryLayout, readCurvature } from './stored.ts';

export interface CurvatureRequest {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly context: Pick<StageContext, 'engine' | 'seed' | 'scratch' | 'shared' | 'maxMemoryBytes' | 'emit' | 'signal'>;
  /** Sites that must be there; default all that can be. */
  readonly wanted?: (site: Site) => boolean;
}

/**
 * A and B of the sites of a program, collected once and kept in `context.shared` under what they depend on: everything
 * that the program computes, the samples, and the seed. All sites are collected where all
 * can be, whichever of them are wanted, so that one collection serves every stage. Moments are read from the store when
 * they are asked for. Sites with an obstacle (lookups, hidden states) are not in it; experts lean on their layer where
 * they saw few tokens.
 * @throws CompressErrors for operators without a gradient rule on the way to a wanted site.
 */
export const curvatureOf = async (request: CurvatureRequest): Promise<Curvature> => {
  const { program, dataset, context } = request;
  const content = [entryLayout, programFingerprint(program), dataset.fingerprint, String(context.seed)].join('\n');
  const whole = `curvature-${hashBytes(new TextEncoder().encode(content))}`;
  const sites = findSites(program).filter((site) => !gramObstacle(site));
  const wanted = sites.filter((site) => request.wanted?.(site) ?? true);
  const names = wanted.map(({ name }) => name);
  const part = `curvature-${hashBytes(new TextEncoder().encode(JSON.stringify([content, names])))}`;
  const kept = readCurvature(context.shared, whole) ?? readCurvature(context.shared, part);
  if (kept) return withLayerMoments(kept, sites);
  try {
    return withLayerMoments(await collectInto(whole, sites, request), sites);
  } catch (error) {
    const partly = error instanceof CompressError && error.code === 'unsupported' && wanted.length < sites.length;
    if (!partly) throw error;
    return withLayerMoments(await collectInto(part, wanted, request), sites);
  }
};

const collectInto = async (
  entry: string,
  sites: readonly Site[],
  { program, dataset, context }: CurvatureRequest,
): Promise<Curvature> => {
  const writer = new CurvatureWriter(context.shared, entry);
  for (const names of passesWithin(program, sites, context.maxMemoryBytes)) {
    const wanted = (site: Site): boolean => names.has(site.name);
    await collectCurvature({ ...context, program, dataset, wanted }, writer);
  }
  writer.finish(dataset.length);
  return readCurvature(context.shared, entry)!;
};

/** Bytes of A and B of a site while they are gathered. */
const momentBytes = (site: Site): number =>
  gramBytes(site) + 8 * (site.rows > mostFullRows ? site.rows : site.rows ** 2);

/** Names of the sites of each pass over the data: one pass, or more where the moments of a block do not fit into memory. */
const passesWithin = (program: Program, sites: readonly Site[], maxBytes: number): Set<string>[] => {
  const wanted = new Set(sites.map(({ name }) => name));
  const passes: Set<string>[] = [];
  for (const block of findBlocks(program))
    for (const [pass, part] of partsWithin(
      block.sites.filter(({ name }) => wanted.has(name)),
      maxBytes,
    ).entries()) {
      passes[pass] ??= new Set();
      for (const { name } of part) passes[pass].add(name);
    }
  return passes;
};

/** Sites in parts whose moments fit into memory together, at least one each; A that sites share counts once. */
const partsWithin = (sites: readonly Site[], maxBytes: number): Site[][] => {
  const parts: Site[][] = [[]];
  const inputs = new Set<Site['input']>();
  let bytes = 0;
  for (const site of sites) {
    const more = momentBytes(site) - (inputs.has(site.input) ? gramBytes(site) : 0);
    if (bytes > 0 && bytes + more > maxBytes) {
      parts.push([]);
      inputs.clear();
      bytes = 0;
    }
    parts.at(-1)!.push(site);
    inputs.add(site.input);
    bytes += more;
  }
  return parts.filter((part) => part.length > 0);
};
