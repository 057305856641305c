import { findSites, type Site } from '../../analysis/sites.ts';
import { gramObstacle } from '../../calibration/statistics/gram.ts';
import { positionsPerItem } from '../../curvature/moments.ts';
import {
  allocateOptions,
  type CompressionChoice,
  type CostMeasure,
  type OptionAllocation,
  type OptionCost,
  sumCosts,
} from '../../curvature/options.ts';
import { refitProgram } from '../../curvature/refit-walk.ts';
import type { RemovalPick } from '../../curvature/removal/choices.ts';
import { type CostScope, WeightCosts } from '../../curvature/removal/costs.ts';
import { channelsOf } from '../../curvature/removal/pools.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { factorObstacle } from '../factorize/factor-site.ts';
import { rankCost, rankOptions } from '../factorize/low-rank.ts';
import { mostRank } from '../factorize/select.ts';
import { selectSites } from '../select-sites.ts';
import { sliceStatistics } from '../slice/statistics.ts';
import type { StageContext } from '../stage.ts';
import { applyEdits, type Edit } from './edit.ts';
import type { AutoOptions } from './options.ts';
import { type ChoiceContext, choiceOfPart } from './part-choice.ts';
import { findParts, type Parts } from './parts.ts';
import { SiteSpectra } from './site-spectra.ts';

/** What a program can be made of, and what each part of it would cost and lose. */
export interface Survey {
  readonly choices: readonly CompressionChoice<readonly Edit[]>[];
  readonly costs: WeightCosts;
  readonly findings: readonly Finding[];
  /** Carries out edits on the program that was surveyed. */
  apply(edits: readonly Edit[]): Promise<void>;
}

export interface SurveyRequest {
  readonly program: Program;
  readonly options: Pick<AutoOptions, 'kinds' | 'channels' | 'multiple' | 'targets' | 'ignore'>;
  readonly scope: CostScope;
  readonly measure: CostMeasure;
  readonly context: StageContext;
}

/** Sites that structure may be changed of: chosen, with moments, and in a block where only blocks count. */
const structuralSites = ({
  program,
  options,
  scope,
}: SurveyRequest): { sites: Site[]; findings: readonly Finding[] } => {
  const { chosen, findings } = selectSites(findSites(program), options);
  const numbered = chosen.some(({ block }) => block !== undefined);
  const inScope = (site: Site): boolean => scope === 'all' || !numbered || site.block !== undefined;
  return { sites: chosen.filter((site) => !gramObstacle(site) && inScope(site)), findings };
};

/** Collects the curvature of a program and finds every option of every part. */
export const survey = async (request: SurveyRequest): Promise<Survey> => {
  const { program, options, scope, measure, context } = request;
  const { signal, emit } = context;
  const { sites, findings } = structuralSites(request);
  const parts: Parts = findParts(program, sites, options.kinds.includes('removal') ? options.channels : []);
  const statistics = await sliceStatistics('curvature', program, sites, context);
  const curvature = statistics.curvature!;
  const costs = new WeightCosts(program, scope);
  const spectra = new SiteSpectra(curvature, context);
  const perItem = (site: Site): number => positionsPerItem(curvature.sites.get(site.name)!);
  const choosing: ChoiceContext = {
    curvature,
    costs,
    measure,
    multiple: options.multiple,
    costOf: (site) => rankCost(site, 'dense', perItem(site)),
    ranksOf: async (site) => {
      if (!options.kinds.includes('low-rank') || factorObstacle(site) || mostRank(site) < 1) return undefined;
      const { losses } = await spectra.of(site);
      return rankOptions(site, losses, { positionsPerItem: perItem(site), multiple: options.multiple });
    },
    signal,
  };
  const choices: CompressionChoice<readonly Edit[]>[] = [];
  for (const part of parts.parts) {
    checkSignal(signal);
    choices.push(await choiceOfPart(part, choosing));
    const [done, total] = [choices.length, parts.parts.length];
    emit({ type: 'progress', task: 'options', done, total, unit: 'parts', item: part.name });
  }
  const byName = new Map(sites.map((site) => [site.name, site]));
  return {
    choices,
    costs,
    findings: [...findings, ...statistics.findings],
    apply: (edits) =>
      applyEdits({
        program,
        found: parts.found,
        edits,
        curvature,
        factorsOf: async (name, rank) => (await spectra.of(byName.get(name)!)).decomposition.factors(rank),
        signal,
      }),
  };
};

/** What is left of a cost after edits, counted exactly: constants that lose both rows and columns count once. */
const leftAfter = (
  { choices, costs }: Survey,
  { picks }: OptionAllocation<readonly Edit[]>,
  measure: CostMeasure,
): number => {
  const removed: RemovalPick[] = picks.flatMap(({ data }) =>
    data.flatMap((edit) => (edit.kind === 'remove' ? [edit.pick] : [])),
  );
  const cut = costs.after(
    removed.flatMap(({ pool }) => pool.groups),
    new Map(removed.flatMap(({ pool, units }) => [...channelsOf(pool, units)])),
  )[measure];
  const factored = picks.map(({ data, cost }, choice) => {
    const dense = choices[choice]!.options[0]!.cost;
    return data.some(({ kind }) => kind === 'factor') ? dense[measure] - cost[measure] : 0;
  });
  return cut - factored.reduce((sum, saved) => sum + saved, 0);
};

/**
 * One allocation over all parts: the least predicted loss with at most `most` of the measure left in the whole scope.
 * Where a constant loses both rows and columns, sums of savings count some elements twice: the limit is then lowered
 * until the true cost fits. @throws 'mismatch' when no options are small enough.
 */
export const allocateStructure = (
  found: Survey,
  measure: CostMeasure,
  most: number,
): OptionAllocation<readonly Edit[]> => {
  const dense: OptionCost = sumCosts(found.choices.map(({ options }) => options[0]!.cost));
  let limit = most - (found.costs.total[measure] - dense[measure]);
  for (;;) {
    const allocation = allocateOptions(found.choices, { kind: 'cost', measure, most: limit });
    const beyond = leftAfter(found, allocation, measure) - most;
    if (beyond <= 1e-6 * most) return allocation;
    limit -= beyond;
  }
};

/** One allocation over all parts: the least of the measure left with at most so much predicted loss, in nats an item. */
export const allocateWithinLoss = (
  found: Survey,
  measure: CostMeasure,
  most: number,
): OptionAllocation<readonly Edit[]> => allocateOptions(found.choices, { kind: 'loss', measure, most });

/** Corrects the residual stream of a changed program against the original, as the options ask. */
export const refitStructure = async (
  program: Program,
  original: Program,
  options: Pick<AutoOptions, 'refit'>,
  context: StageContext,
  step: number,
): Promise<void> => {
  if (!options.refit) return;
  const { engine, checkpoints, maxMemoryBytes, scratch, emit, signal } = context;
  await refitProgram({
    program,
    original,
    dataset: context.calibration!,
    engine,
    ridge: options.refit.ridge,
    checkpoints,
    checkpointKey: `refit-${step}`,
    maxMemoryBytes,
    scratch,
    emit,
    signal,
  });
};
