import { type Block, findBlocks } from '../analysis/blocks.ts';
import { joinedBlocks } from '../analysis/joined-blocks.ts';
import { readSiteMatrix, writeSiteMatrix } from '../analysis/site-weights.ts';
import { findSites, type Site } from '../analysis/sites.ts';
import type { Dataset } from '../calibration/dataset.ts';
import { type BlockVisit, runBlocks } from '../execution/block-runner.ts';
import type { Engine } from '../execution/session.ts';
import type { Program } from '../ir/graph.ts';
import type { Emit } from '../recipe/events.ts';
import { chooseRidge, gainOn, ridgeCorrection } from './refit.ts';
import { crossOfWhole, type FactoredWeight, factorGap, writeFactors } from './refit-factors.ts';
import { RefitMoments } from './refit-moments.ts';
import {
  type FactorPair,
  isIn,
  type RefitScope,
  type RefitTarget,
  refitTargets,
  sitesOfTarget,
  wholeOf,
} from './refit-targets.ts';

export interface RefitOptions {
  /** The compressed program; constants of consumers in it are replaced. */
  readonly program: Program;
  /** The program before it was compressed: values that mean the same have the same names. */
  readonly original: Program;
  readonly dataset: Dataset;
  readonly engine: Engine;
  /** λ as a share of the mean diagonal of Σ z zᵀ; 'auto': for each consumer what serves samples best that it is not fitted to. */
  readonly ridge: number | 'auto';
  /** Which products are corrected. Default 'stream'. */
  readonly scope?: RefitScope;
  /** Weights that were written as two products, by the name of the second one's output: both factors are made anew. */
  readonly factored?: ReadonlyMap<string, FactoredWeight>;
  /** Consumers to correct; default all that can be. */
  readonly wanted?: ((site: Site) => boolean) | undefined;
  /** Finished blocks, so that an interrupted refit goes on where it stopped. */
  readonly checkpoints?: { get(key: string): Uint8Array | undefined; put(key: string, bytes: Uint8Array): void };
  /** Starts the keys of checkpoints. Default 'refit'. */
  readonly checkpointKey?: string;
  readonly maxMemoryBytes: number;
  readonly scratch: { readonly directory: string };
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** What a refit did to one consumer. */
export interface RefitRecord {
  readonly site: string;
  /** Mean square of what was missing in the stream before and after, relative to that of the stream itself. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** λ where there is a single run to fit to. */
const usualRidge = 0.01;

/** What one part of a target was told by the data. */
type Part = ReturnType<RefitMoments['parts']>[number];

const automaticRidge = async (part: Part, signal: AbortSignal): Promise<number | undefined> =>
  part.folds ? chooseRidge(part.folds, { ...part, signal }) : usualRidge;

const ridgeOf = async (part: Part, { ridge, signal }: RefitOptions): Promise<number | undefined> =>
  ridge === 'auto' ? automaticRidge(part, signal) : ridge;

/** Corrects a weight in place; by how much Σ ‖e‖² is smaller then. */
const correctWeight = async (site: Site, parts: readonly Part[], options: RefitOptions): Promise<number> => {
  const matrix = Float32Array.from(readSiteMatrix(site));
  let gained = 0;
  for (const part of parts) {
    const ridge = await ridgeOf(part, options);
    if (ridge === undefined) continue;
    const correction = await ridgeCorrection({ ...part, ridge, signal: options.signal });
    gained += correction.gained;
    for (let index = 0; index < correction.delta.length; index++)
      matrix[part.offset + index]! += correction.delta[index]!;
  }
  writeSiteMatrix(site, matrix);
  return gained;
};

/** Corrects the weight that two factors stand for, and factorises it again for the inputs that there are now. */
const correctFactors = async (
  pair: FactorPair,
  outer: Site,
  [part]: readonly Part[],
  options: RefitOptions,
): Promise<number> => {
  const { signal } = options;
  const { rows, columns, inputs } = part!;
  const sizes = { rows, columns, signal };
  const gap = await factorGap(pair, outer, signal);
  const [first, second] = part!.folds ?? [];
  const whole: Part = {
    ...part!,
    ...(await crossOfWhole(part!, gap, sizes)),
    folds:
      first && second ? [await crossOfWhole(first, gap, sizes), await crossOfWhole(second, gap, sizes)] : undefined,
  };
  const ridge = await ridgeOf(whole, options);
  const corrected = pair.source.weight();
  if (ridge !== undefined) {
    const { delta } = await ridgeCorrection({ ...whole, ridge, signal });
    for (let index = 0; index < delta.length; index++) corrected[index]! += delta[index]!;
  }
  const made = await writeFactors(pair, outer, corrected, inputs, signal);
  return gainOn(
    made.map((value, index) => value - gap.present[index]!),
    part!,
    sizes,
  );
};

/** Targets of a block in the order in which they are corrected: those that read the same and write to no stream at once. */
const sameInput = (targets: readonly RefitTarget[], visit: BlockVisit): RefitTarget[][] => {
  const groups: RefitTarget[][] = [];
  for (const target of targets.filter(({ value }) => visit.originalHas([value.name]))) {
    const own = target.value === target.site.output;
    const last = groups.at(-1);
    const before = last?.[0];
    const joins =
      own &&
      before?.value === before?.site.output &&
      before &&
      wholeOf(before).input === wholeOf(target).input &&
      visit.originalHas([...last!, target].map(({ value }) => value.name));
    if (joins) last!.push(target);
    else groups.push([target]);
  }
  return groups;
};

const refitTogether = async (
  targets: readonly RefitTarget[],
  visit: BlockVisit,
  options: RefitOptions,
): Promise<RefitRecord[]> => {
  const { signal } = options;
  const seen = targets.map((target) => {
    const whole = wholeOf(target);
    return { target, whole, moments: new RefitMoments(whole, target.gains) };
  });
  await visit.observeBeside({
    original: [...new Set(targets.map(({ value }) => value.name))],
    present: [...new Set(seen.flatMap(({ target, whole }) => [target.value, whole.input]))],
    observe: async (before, now) => {
      for (const { target, whole, moments } of seen) {
        const { name } = target.value;
        await moments.add(before.get(name)!, now.get(name)!, now.get(whole.input.name)!, signal);
      }
    },
  });
  const records: RefitRecord[] = [];
  for (const { target, moments } of seen) {
    const { site, pair } = target;
    const parts = moments.parts();
    const gained = pair ? await correctFactors(pair, site, parts, options) : await correctWeight(site, parts, options);
    moments.release();
    const { energy, scale } = moments;
    const relative = (error: number): number => (scale > 0 ? Math.max(0, error) / scale : 0);
    records.push({ site: site.name, errorBefore: relative(energy), errorAfter: relative(energy - gained) });
  }
  return records;
};

/**
 * Corrects a compressed program by walking it beside the original: for each consumer in execution order, z its present
 * inputs and e = (original stream − present stream), W += Σ e zᵀ (Σ z zᵀ + λ)⁻¹. What earlier blocks have done is thus
 * made up for as far as the consumer's inputs allow. The shapes inside blocks may differ; streams are matched by name,
 * and consumers that lost outputs, or whose stream the original does not have, stay as they are.
 * @throws 'numeric' when moments are not finite; 'data' when samples do not fit.
 */
export const refitProgram = async (options: RefitOptions): Promise<RefitRecord[]> => {
  const { program, original, checkpoints, checkpointKey = 'refit', wanted } = options;
  const { dataset, engine, maxMemoryBytes, scratch, emit, signal } = options;
  const rowsBefore = new Map(findSites(original).map((site) => [site.output.name, site.rows]));
  const isWhole = ({ site }: RefitTarget): boolean => (rowsBefore.get(site.output.name) ?? site.rows) === site.rows;
  const targets = refitTargets(program, options.scope ?? 'stream', options.factored ?? new Map()).filter(
    (target) => isWhole(target) && (wanted?.(target.site) ?? true),
  );
  const records: RefitRecord[] = [];
  const pairs = targets.flatMap(({ site, pair }) => (pair ? [[pair.inner.node, site.node]] : []));
  const cut = (of: Program): Block[] => (of === program ? joinedBlocks(of, pairs) : findBlocks(of));
  await runBlocks(
    { cut, program, dataset, engine, maxMemoryBytes, original, scratch, task: 'refit', emit, signal },
    async (visit) => {
      const own = targets.filter((target) => isIn(visit.block, target));
      if (own.length === 0) return;
      const key = `${checkpointKey}-block-${visit.block.index}`;
      const kept = checkpoints?.get(key);
      if (kept) {
        restore(own, kept, records);
        return;
      }
      const first = records.length;
      for (const together of sameInput(own, visit)) records.push(...(await refitTogether(together, visit, options)));
      checkpoints?.put(key, encode(own, records.slice(first)));
    },
  );
  return records;
};

/** JSON of the records and of matrix lengths, a line feed, then the matrices in the order of targets. */
const encode = (targets: readonly RefitTarget[], records: readonly RefitRecord[]): Uint8Array => {
  const matrices = targets.flatMap(sitesOfTarget).map(readSiteMatrix);
  const header = `${JSON.stringify({ records, lengths: matrices.map((matrix) => matrix.length) })}\n`;
  return new Uint8Array(
    Buffer.concat([
      Buffer.from(header),
      ...matrices.map((matrix) => new Uint8Array(matrix.buffer, matrix.byteOffset, matrix.byteLength)),
    ]),
  );
};

const restore = (targets: readonly RefitTarget[], bytes: Uint8Array, records: RefitRecord[]): void => {
  const end = bytes.indexOf(10);
  const header = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString()) as {
    records: RefitRecord[];
    lengths: number[];
  };
  let at = end + 1;
  targets.flatMap(sitesOfTarget).forEach((site, index) => {
    const length = header.lengths[index]!;
    writeSiteMatrix(site, new Float32Array(bytes.slice(at, at + 4 * length).buffer));
    at += 4 * length;
  });
  records.push(...header.records);
};
