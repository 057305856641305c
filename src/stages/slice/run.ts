import { findChannelGroups } from '../../analysis/channel-groups/groups.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import { applyRemoval } from '../../curvature/removal/apply.ts';
import { choiceOf } from '../../curvature/removal/choices.ts';
import { WeightCosts } from '../../curvature/removal/costs.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { refit } from '../refit.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { allocateRemovals, type RankedChoice } from './allocate.ts';
import { compensateByBias } from './bias.ts';
import { chosenSites, findCandidates } from './candidates.ts';
import { ofClasses } from './classes.ts';
import { sliceConfig } from './config.ts';
import { KeptRows } from './kept-rows.ts';
import { operationsForLatency } from './latency.ts';
import { costMeasureOf, scopeOf, stepsOf } from './measures.ts';
import type { RankingMethod } from './methods/method.ts';
import { rankingOf, type SliceOptions } from './options.ts';
import { prepareForSlicing } from './prepare.ts';
import { recalibrate } from './recalibrate.ts';
import { describeCosts, describeGroups } from './report.ts';
import { keepSigns } from './signs.ts';
import { type SliceStatistics, type StatisticsNeed, sliceStatistics } from './statistics.ts';
import { type TransformMethodName, transformMethods } from './transforms/index.ts';

/** What one step of removal works on. */
interface Step {
  /** Changed in place. */
  readonly program: Program;
  readonly options: SliceOptions;
  readonly context: StageContext;
  /** Of the measure, what may be left after the step. */
  readonly most: number;
  /** Told of what is cut. */
  readonly kept: KeptRows;
}

/** What a step has done. */
interface Removal {
  /** Predicted nats an item; undefined where the method predicts none. */
  readonly loss: number | undefined;
  readonly findings: readonly Finding[];
}

/** The most that the method or the compensation wants to know. */
const needOf = ({ needs }: RankingMethod, { compensation }: SliceOptions): StatisticsNeed => {
  if (compensation === 'bias' && needs !== 'curvature') return 'inputs';
  return needs === 'nothing' && compensation !== 'none' ? 'inputs' : needs;
};

const rankPools = async (
  method: RankingMethod,
  step: Step,
  candidates: ReturnType<typeof findCandidates>,
  costs: WeightCosts,
  statistics: SliceStatistics,
): Promise<RankedChoice[]> => {
  const { options, context } = step;
  const { signal, emit } = context;
  const ranked: RankedChoice[] = [];
  for (const pool of candidates.pools) {
    const ranking = await method.rank({ pool, costs, statistics, damp: options.damp, signal });
    ranked.push({ ranking, choice: choiceOf(pool, ranking, costs, candidates.limitsOf(pool)) });
    const total = candidates.pools.length;
    emit({ type: 'progress', task: 'ranking channels', done: ranked.length, total, unit: 'pools', item: pool.name });
  }
  return ranked;
};

/** Removes channels once: statistics, ranking, allocation, compensation, cut. */
const removeChannels = async (method: RankingMethod, step: Step): Promise<Removal> => {
  const { program, options, context, most } = step;
  const { signal } = context;
  const found = findChannelGroups(program);
  const candidates = findCandidates(program, found, options);
  const costs = new WeightCosts(program, scopeOf(options.measure));
  const readers = new Map(
    candidates.pools.flatMap(({ consumers }) => consumers.map(({ site }) => [site.name, site] as const)),
  );
  const statistics = await sliceStatistics(needOf(method, options), program, [...readers.values()], context);
  const ranked = await rankPools(method, step, candidates, costs, statistics);
  const rule = options.allocation;
  const { picks, loss } = allocateRemovals(ranked, costs, { rule, measure: costMeasureOf(options.measure), most });
  if (options.compensation === 'bias') for (const pick of picks) compensateByBias(pick, statistics.means);
  const curvature = options.compensation === 'ridge' ? statistics.curvature : undefined;
  step.kept.cut(found, await applyRemoval(program, found, picks, { curvature, damp: options.damp, signal }));
  const inNats = method.needs === 'curvature' && statistics.curvature !== undefined;
  return { loss: inNats ? loss : undefined, findings: [...statistics.findings, ...candidates.findings] };
};

const removeOnce = async (step: Step): Promise<Removal> => {
  const { method } = step.options;
  const ranking = rankingOf(method);
  if (ranking) return removeChannels(ranking, step);
  return { loss: undefined, findings: await transformMethods[method as TransformMethodName].apply(step) };
};

/** Whether what writes to streams can be compared with the model before. */
const canRefit = ({ refit, method }: SliceOptions): boolean =>
  refit && (rankingOf(method) !== undefined || transformMethods[method as TransformMethodName].keepsStreams);

/** Sites that still compute as many outputs as before: only they can be compared with what they were. */
const wholeRows = (original: Program): ((site: Site) => boolean) => {
  const rows = new Map(findSites(original).map((site) => [site.output.name, site.rows]));
  return (site) => rows.get(site.output.name) === site.rows;
};

/**
 * Removes channels from a copy of a model until what is left is within the ratio, in steps, each followed by a refit of
 * what writes to residual streams against the model before.
 * @throws 'unsupported' for quantized models, 'mismatch' for ratios that cannot be met, 'data' for data that do not fit.
 */
export const runSlice = async (model: Model, asked: SliceOptions, given: StageContext): Promise<StageResult> => {
  const original = prepareForSlicing(model.program);
  const program = cloneProgram(original);
  const calibration =
    given.calibration && asked.classes ? await ofClasses(given.calibration, asked.classes) : given.calibration;
  const context: StageContext = { ...given, calibration };
  const timed = asked.measure === 'latency' ? await operationsForLatency(program, asked, context) : undefined;
  const options: SliceOptions = timed ? { ...asked, measure: 'operations', ratio: timed.ratio } : asked;
  const measure = costMeasureOf(options.measure);
  const before = new WeightCosts(program, scopeOf(options.measure)).total[measure];
  const steps = stepsOf(options);
  const findings: Finding[] = [];
  const kept = new KeptRows();
  let predicted: number | undefined;
  for (let number = 1; number <= steps; number++) {
    const most = before * (1 - (options.ratio * number) / steps);
    const { loss, findings: told } = await removeOnce({ program, options, context, most, kept });
    if (loss !== undefined) predicted = (predicted ?? 0) + loss;
    if (number === 1) findings.push(...told);
    if (options.recalibrate && calibration)
      await recalibrate(program, original, kept, context, { writers: !canRefit(options) });
    if (canRefit(options) && calibration) {
      const wanted = wholeRows(original);
      const request = { program, original, ridge: options.refitRidge, wanted, checkpointKey: `refit-${number}` };
      findings.push(...(await refit(request, context)));
    }
    context.emit({ type: 'progress', task: 'removing channels', done: number, total: steps, unit: 'steps' });
  }
  if (options.signs) findings.push(keepSigns(program, chosenSites(options).isChosen));
  const groups = describeGroups(original, program);
  for (const { site, facts } of groups) context.emit({ type: 'site-finished', stage: 'slice', site, facts });
  findings.unshift(
    ...describeCosts(original, program),
    ...(timed ? [timed.finding] : []),
    ...(predicted === undefined
      ? []
      : [
          {
            kind: 'fact' as const,
            text: `predicted loss ${predicted.toPrecision(3)} nats an item`,
            facts: { predicted },
          },
        ]),
  );
  const { config, findings: stated } = sliceConfig(model.config, original, program);
  return { model: { ...model, program, config }, findings: [...findings, ...stated] };
};
