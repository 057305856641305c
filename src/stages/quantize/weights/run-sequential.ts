import { findBlocks } from '../../../analysis/blocks.ts';
import { packSite } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { findSteps } from '../../../analysis/steps.ts';
import type { Dataset } from '../../../calibration/dataset.ts';
import { type SiteCrosses, siteCrosses } from '../../../calibration/statistics/cross.ts';
import { gramBytes, type SiteGrams, siteGrams } from '../../../calibration/statistics/gram.ts';
import { internalError } from '../../../errors.ts';
import { type BlockVisit, runBlocks } from '../../../execution/block-runner.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageContext } from '../../stage.ts';
import type { WeightOptions } from '../options.ts';
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { type OutputMoments, outputMoments } from './output-moments.ts';
import { groupPieces, streamedPieces } from './pieces.ts';
import { needsCurvature, needsGram, needsPairs, type WeightUnit } from './plan.ts';
import { type RoundedUnit, UnitRounder } from './round-unit.ts';
import type { UnitDone } from './run-direct.ts';
import { groupSizeFor } from './scheme.ts';

/** Units that are rounded from one look at the data. */
type Step = readonly WeightUnit[];

const inputsOf = (unit: WeightUnit): Set<Site['input']> => new Set(unit.sites.map((site) => site.input));

/** Units in execution order, those with the same inputs (q, k, v) in one step. */
const stepsByInput = (units: readonly WeightUnit[]): Step[] => {
  const steps: WeightUnit[][] = [];
  for (const unit of units) {
    const last = steps.at(-1);
    const known = last?.[0] && inputsOf(last[0]);
    const shared = known !== undefined && [...inputsOf(unit)].every((input) => known.has(input));
    if (last && shared) last.push(unit);
    else steps.push([unit]);
  }
  return steps;
};

/** A step in parts whose second moments fit the budget together, at least one unit each. */
const partsWithin = (step: Step, maxBytes: number): Step[] => {
  const parts: WeightUnit[][] = [[]];
  const counted = new Set<unknown>();
  let bytes = 0;
  for (const unit of step) {
    const [site] = unit.sites;
    const more = needsGram(unit) && !counted.has(site.input) ? gramBytes(site) : 0;
    if (bytes + more > maxBytes && bytes > 0) {
      parts.push([]);
      bytes = 0;
      counted.clear();
    }
    parts.at(-1)!.push(unit);
    bytes += more;
    counted.add(site.input);
  }
  return parts;
};

/** H (columns, columns) of each convolution group: the mean over samples, summed over the sites of a shared constant. */
const meanGrams = (
  unit: WeightUnit,
  inBlock: ReadonlySet<Site>,
  grams: SiteGrams,
): { grams: Float64Array[]; count: number } => {
  const sums: Float64Array[] = [];
  let count = 0;
  for (const site of unit.sites) {
    const accumulators = inBlock.has(site) ? grams.gramsOf(site) : undefined;
    if (!accumulators) continue;
    count += accumulators[0]?.count ?? 0;
    for (const [group, accumulator] of accumulators.entries()) {
      const matrix = accumulator.matrix();
      const sum = sums[group];
      if (sum) for (let index = 0; index < sum.length; index++) sum[index]! += matrix[index]!;
      else sums[group] = matrix;
    }
  }
  const scale = 1 / Math.max(1, count);
  for (const sum of sums) for (let index = 0; index < sum.length; index++) sum[index]! *= scale;
  return { grams: sums, count };
};

/** G of a weight that a single product reads: the mean over samples, for as many pairs as there are inputs. */
const meanCross = (unit: WeightUnit, crosses: SiteCrosses | undefined): Float64Array[] => {
  const [site, ...others] = unit.sites;
  const cross = others.length === 0 ? crosses?.crossOf(site) : undefined;
  if (!cross) return [];
  const scale = 1 / Math.max(1, cross.count);
  return [cross.matrix().map((sum) => sum * scale)];
};

/** A weight whose H was estimated from fewer samples than it has columns rests on the damping. */
const shortage = (unit: WeightUnit, count: number): string | undefined => {
  const { columns } = unit.sites[0];
  return count < columns
    ? `calibration gives ${count} input vectors for ${columns} columns: H has not full rank, use more samples`
    : undefined;
};

export interface SequentialRun {
  readonly program: Program;
  readonly units: readonly WeightUnit[];
  readonly dataset: Dataset;
  readonly options: WeightOptions;
  readonly context: StageContext;
  /** Takes what the report must say. */
  readonly found: (finding: Finding) => void;
  /** Called in execution order, also for weights that a checkpoint gave back. */
  readonly done: UnitDone;
}

/**
 * Rounds weights block by block on what calibration data make of the blocks before, which are rounded by then. A block
 * that a checkpoint holds is only run through, so that an interrupted run goes on where it stopped with the same bytes.
 * The constants of `program` are replaced. @throws as `UnitRounder.round`; 'data' when samples do not fit the model.
 */
export const roundSequentially = async (run: SequentialRun): Promise<void> => {
  const { program, units, dataset, options, context, done } = run;
  const { settings, sequential } = options;
  const { checkpoints, engine, scratch, emit, signal, maxMemoryBytes } = context;
  const cut = sequential === 'site' ? findSteps : findBlocks;
  const blocks = cut(program);
  const blockOf = new Map(blocks.flatMap((block) => block.sites.map((site) => [site.node, block.index] as const)));

  for (const unit of units)
    if (!blockOf.has(unit.sites[0].node)) throw internalError('a site is in no block', { site: unit.name });

  const wantsCurvature = units.filter(needsCurvature);
  const moments: OutputMoments | undefined =
    wantsCurvature.length > 0 ? await outputMoments(run, new Set(wantsCurvature.map((unit) => unit.name))) : undefined;
  const original = units.some(needsPairs) ? ('walked' as const) : undefined;

  /** Rounds units from one look at the data; their constants stay as they are for now. */
  const roundPart = async (part: Step, visit: BlockVisit): Promise<Map<WeightUnit, RoundedUnit>> => {
    const inBlock = new Set(
      part.flatMap((unit) => unit.sites).filter((site) => blockOf.get(site.node) === visit.block.index),
    );
    const observed = part.filter(needsGram).flatMap((unit) => unit.sites.filter((site) => inBlock.has(site)));
    const sums = siteGrams(observed);
    const paired = observed.filter((site) => part.some((unit) => needsPairs(unit) && unit.sites.includes(site)));
    const crosses = paired.length > 0 ? siteCrosses(paired) : undefined;
    await visit.observe(sums.observations);
    if (crosses) await visit.observePairs(crosses.observations);
    const rounded = new Map<WeightUnit, RoundedUnit>();
    for (const unit of part) {
      const rounder = new UnitRounder(unit, settings, signal);
      const [site] = unit.sites;
      const found = needsGram(unit) ? meanGrams(unit, inBlock, sums) : undefined;
      const pieces = found
        ? groupPieces(site, {
            grams: found.grams,
            crosses: meanCross(unit, crosses),
            outputMoment: needsCurvature(unit) ? moments?.of(site) : undefined,
          })
        : streamedPieces(site, groupSizeFor(unit.scheme, site.columns));
      for (const piece of pieces) await rounder.round(piece, piece.read());
      const made = rounder.finish();
      const short = found && shortage(unit, found.count);
      const result = short === undefined ? made : { ...made, fallbacks: [...made.fallbacks, short] };
      rounded.set(unit, result);
      done(unit, result);
    }
    return rounded;
  };

  /** Rounds a step, in as many passes as memory asks for: all of them see the weights that the step began with. */
  const roundStep = async (step: Step, visit: BlockVisit): Promise<Map<WeightUnit, RoundedUnit>> => {
    const rounded = new Map<WeightUnit, RoundedUnit>();
    for (const part of partsWithin(step, maxMemoryBytes))
      for (const [unit, result] of await roundPart(part, visit)) rounded.set(unit, result);
    for (const [unit, { packing }] of rounded) packSite(unit.sites[0], packing);
    return rounded;
  };

  await runBlocks(
    { program, dataset, engine, cut, maxMemoryBytes, original, scratch, task: 'rounding weights', emit, signal },
    async (visit) => {
      const own = units.filter((unit) => blockOf.get(unit.sites[0].node) === visit.block.index);
      if (own.length === 0) return;
      const key = `weights-block-${visit.block.index}`;
      const kept = checkpoints.get(key);
      if (kept) {
        const restored = decodeCheckpoint(kept);
        for (const unit of own) {
          const result = restored.get(unit.name)!;
          packSite(unit.sites[0], result.packing);
          done(unit, result);
        }
        return;
      }
      const rounded = new Map<string, RoundedUnit>();
      for (const step of sequential === 'site' ? stepsByInput(own) : [own])
        for (const [unit, result] of await roundStep(step, visit)) rounded.set(unit.name, result);
      checkpoints.put(key, encodeCheckpoint(rounded));
    },
  );
};
