import { findResidualWriters, type ResidualWriter } from '../analysis/residual-writers.ts';
import { readSiteMatrix, writeSiteMatrix } from '../analysis/site-weights.ts';
import { findSites, type Site } from '../analysis/sites.ts';
import type { Dataset } from '../calibration/dataset.ts';
import { gramObstacle } from '../calibration/statistics/gram.ts';
import { type BlockVisit, runBlocks } from '../execution/block-runner.ts';
import type { Engine } from '../execution/session.ts';
import type { Program, Value } from '../ir/graph.ts';
import { PackedTensor } from '../ir/packed-tensor.ts';
import { constantOf } from '../ir/walk.ts';
import type { Emit } from '../recipe/events.ts';
import { chooseRidge, ridgeCorrection } from './refit.ts';
import { RefitMoments } from './refit-moments.ts';

export interface RefitOptions {
  /** The compressed program; constants of consumers in it are replaced. */
  readonly program: Program;
  /** The program before it was compressed: values that mean the same have the same names. */
  readonly original: Program;
  readonly dataset: Dataset;
  readonly engine: Engine;
  /** λ as a share of the mean diagonal of Σ z zᵀ; 'auto': for each consumer what serves samples best that it is not fitted to. */
  readonly ridge: number | 'auto';
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

/** A consumer whose output is compared with a value of the original program. */
interface Target {
  readonly site: Site;
  /** What is compared: the stream that the site writes to, or its own output. */
  readonly value: Value;
  readonly gains: Float64Array | undefined;
}

const canBeRefitted = (site: Site): boolean => {
  const tensor = constantOf(site.weight);
  if (!tensor || tensor instanceof PackedTensor || tensor.dtype === 'float64') return false;
  if (site.weight.uses.length !== 1 || site.op === 'ConvTranspose' || gramObstacle(site)) return false;
  return site.op === 'MatMul' || site.op === 'Gemm' || site.op === 'Conv';
};

/**
 * Consumers that a refit corrects: sites that write to a residual stream; in a graph without any sum of activations,
 * all sites, each against its own output. Never a weight that several products share, and no integers.
 */
const targetsOf = (program: Program): Target[] => {
  const writers = findResidualWriters(program);
  const targets: readonly Target[] =
    writers.length > 0
      ? writers.map(({ site, stream, gains }: ResidualWriter) => ({ site, value: stream, gains }))
      : findSites(program).map((site) => ({ site, value: site.output, gains: undefined }));
  return targets.filter(({ site }) => canBeRefitted(site));
};

/** λ where there is a single run to fit to. */
const usualRidge = 0.01;

const automaticRidge = async (
  part: ReturnType<RefitMoments['parts']>[number],
  signal: AbortSignal,
): Promise<number | undefined> => (part.folds ? chooseRidge(part.folds, { ...part, signal }) : usualRidge);

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
  const isWhole = ({ site }: Target): boolean => (rowsBefore.get(site.output.name) ?? site.rows) === site.rows;
  const targets = targetsOf(program).filter((target) => isWhole(target) && (wanted?.(target.site) ?? true));
  const records: RefitRecord[] = [];
  const refitOne = async (target: Target, visit: BlockVisit): Promise<void> => {
    const { site, value } = target;
    if (!visit.originalHas([value.name])) return;
    const moments = new RefitMoments(site, target.gains);
    await visit.observeBeside({
      original: [value.name],
      present: [...new Set([value, site.input])],
      observe: (before, now) =>
        moments.add(before.get(value.name)!, now.get(value.name)!, now.get(site.input.name)!, signal),
    });
    const matrix = Float32Array.from(readSiteMatrix(site));
    let gained = 0;
    for (const part of moments.parts()) {
      const ridge = options.ridge === 'auto' ? await automaticRidge(part, signal) : options.ridge;
      if (ridge === undefined) continue;
      const correction = await ridgeCorrection({ ...part, ridge, signal });
      gained += correction.gained;
      for (let index = 0; index < correction.delta.length; index++)
        matrix[part.offset + index]! += correction.delta[index]!;
    }
    moments.release();
    writeSiteMatrix(site, matrix);
    const { energy, scale } = moments;
    const relative = (error: number): number => (scale > 0 ? Math.max(0, error) / scale : 0);
    records.push({
      site: site.name,
      errorBefore: relative(energy),
      errorAfter: relative(energy - gained),
    });
  };
  await runBlocks(
    { program, dataset, engine, maxMemoryBytes, original, scratch, task: 'refit', emit, signal },
    async (visit) => {
      const own = targets.filter(({ site }) => visit.block.sites.some(({ node }) => node === site.node));
      if (own.length === 0) return;
      const key = `${checkpointKey}-block-${visit.block.index}`;
      const kept = checkpoints?.get(key);
      if (kept) {
        restore(own, kept, records);
        return;
      }
      const first = records.length;
      for (const target of own) await refitOne(target, visit);
      checkpoints?.put(key, encode(own, records.slice(first)));
    },
  );
  return records;
};

/** JSON of the records and of matrix lengths, a line feed, then the matrices in the order of targets. */
const encode = (targets: readonly Target[], records: readonly RefitRecord[]): Uint8Array => {
  const matrices = targets.map(({ site }) => readSiteMatrix(site));
  const header = `${JSON.stringify({ records, lengths: matrices.map((matrix) => matrix.length) })}\n`;
  return new Uint8Array(
    Buffer.concat([
      Buffer.from(header),
      ...matrices.map((matrix) => new Uint8Array(matrix.buffer, matrix.byteOffset, matrix.byteLength)),
    ]),
  );
};

const restore = (targets: readonly Target[], bytes: Uint8Array, records: RefitRecord[]): void => {
  const end = bytes.indexOf(10);
  const header = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString()) as {
    records: RefitRecord[];
    lengths: number[];
  };
  let at = end + 1;
  targets.forEach(({ site }, index) => {
    const length = header.lengths[index]!;
    writeSiteMatrix(site, new Float32Array(bytes.slice(at, at + 4 * length).buffer));
    at += 4 * length;
  });
  records.push(...header.records);
};
