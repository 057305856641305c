import { findBlocks } from '../../../analysis/blocks.ts';
import { packSite } from '../../../analysis/site-weights.ts';
import { findSteps, siteLevels } from '../../../analysis/steps.ts';
import type { Dataset } from '../../../calibration/dataset.ts';
import { internalError } from '../../../errors.ts';
import { type BlockVisit, runBlocks } from '../../../execution/block-runner.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageContext } from '../../stage.ts';
import type { WeightOptions } from '../options.ts';
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { observeMoments } from './moments.ts';
import { type OutputMoments, outputMoments } from './output-moments.ts';
import { partsWithin, type Step, sideBySide, stepsByLevel } from './parts.ts';
import { groupPieces, streamedPieces } from './pieces.ts';
import { needsCurvature, needsOriginal, type WeightUnit } from './plan.ts';
import { type RoundedUnit, UnitRounder } from './round-unit.ts';
import type { UnitDone } from './run-direct.ts';
import { groupSizeFor } from './scheme.ts';

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
  const levels = siteLevels(program);
  const blockOf = new Map(blocks.flatMap((block) => block.sites.map((site) => [site.node, block.index] as const)));

  for (const unit of units)
    if (!blockOf.has(unit.sites[0].node)) throw internalError('a site is in no block', { site: unit.name });

  const wantsCurvature = units.filter(needsCurvature);
  const moments: OutputMoments | undefined =
    wantsCurvature.length > 0 ? await outputMoments(run, new Set(wantsCurvature.map((unit) => unit.name))) : undefined;
  const original = units.some(needsOriginal) ? ('walked' as const) : undefined;

  /** Rounds units from one look at the data; their constants stay as they are for now. */
  const roundPart = async (part: Step, visit: BlockVisit): Promise<Map<WeightUnit, RoundedUnit>> => {
    const sites = part.flatMap((unit) => unit.sites);
    const here = new Set(sites.filter((site) => blockOf.get(site.node) === visit.block.index));
    const momentsOf = await observeMoments(part, here, visit);
    const roundUnit = async (unit: WeightUnit): Promise<RoundedUnit> => {
      const [site] = unit.sites;
      const found = momentsOf(unit);
      const outputs = needsCurvature(unit) ? moments?.of(site) : undefined;
      const rounder = new UnitRounder(unit, settings, signal);
      const pieces = found
        ? groupPieces(site, { ...found, outputs })
        : streamedPieces(site, groupSizeFor(unit.scheme, site.columns));
      for (const piece of pieces) await rounder.round(piece, piece.read());
      const made = rounder.finish();
      if (!found) return made;
      return { ...made, facts: { ...made.facts, ...found.facts }, fallbacks: [...made.fallbacks, ...found.fallbacks] };
    };
    const rounded = new Map<WeightUnit, RoundedUnit>();
    for (const some of sideBySide(part)) {
      const results = await Promise.all(some.map(roundUnit));
      for (const [index, unit] of some.entries()) rounded.set(unit, results[index]!);
    }
    return rounded;
  };

  /** Rounds a step, in as many passes as memory asks for: all of them see the weights that the step began with. */
  const roundStep = async (step: Step, visit: BlockVisit): Promise<Map<WeightUnit, RoundedUnit>> => {
    const rounded = new Map<WeightUnit, RoundedUnit>();
    for (const part of partsWithin(step, maxMemoryBytes))
      for (const [unit, result] of await roundPart(part, visit)) {
        rounded.set(unit, result);
        done(unit, result);
      }
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
      for (const step of sequential === 'site' ? stepsByLevel(own, levels) : [own])
        for (const [unit, result] of await roundStep(step, visit)) rounded.set(unit.name, result);
      checkpoints.put(key, encodeCheckpoint(rounded));
    },
  );
};
