import { measureCost } from '../../analysis/cost.ts';
import type { FactoredWeight } from '../../curvature/refit-factors.ts';
import { internalError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { mergedFinding, mergeProducts } from '../factorize/merge-products.ts';
import { prepareForSlicing } from '../slice/prepare.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { allocateStructure, editsOf } from './allocate.ts';
import { roundToBudget } from './bits.ts';
import { measureOf } from './budget-measure.ts';
import { compactFinding, graphBytes } from './file-bytes.ts';
import { forecastOf } from './forecast.ts';
import { healModel } from './heal.ts';
import type { AutoBudget, AutoOptions } from './options.ts';
import { AutoReport } from './report.ts';
import { searchDivergence, searchLatency } from './search.ts';
import { refitStructure, survey } from './structure.ts';

/** Steps of a budget: one for up to a quarter that goes, one more for each further fifth. */
const stepsFor = ({ steps }: Pick<AutoOptions, 'steps'>, share: number): number =>
  steps === 'auto' ? Math.max(1, Math.ceil((1 - share - 0.05) / 0.2 - 1e-9)) : steps;

type ShareBudget = Extract<AutoBudget, { readonly kind: 'share' }>;

/** Changes the structure of a program in place until a share of its cost is left. */
const shrinkStructure = async (
  program: Program,
  original: Program,
  budget: ShareBudget,
  options: AutoOptions,
  context: StageContext,
  report: AutoReport,
): Promise<void> => {
  const { measure, scope } = measureOf(budget);
  const steps = stepsFor(options, budget.share);
  const factored = new Map<string, FactoredWeight>();
  let total = 0;
  for (let step = 1; step <= steps; step++) {
    const found = await survey({ program, options, scope, measure, context });
    if (step === 1) {
      total = found.costs.total[measure];
      report.forecast(forecastOf(found, measure), measure);
    }
    const most = total * budget.share ** (step / steps);
    const allocation = allocateStructure(found, { kind: 'cost', measure, most });
    report.allocated(allocation, found.findings);
    for (const [site, weight] of await found.apply(program, editsOf(allocation))) factored.set(site, weight);
    report.told(await refitStructure(program, original, { options, context, factored, step }));
  }
  report.told(mergedFinding(await mergeProducts(program, context.signal)));
  inferShapes(program);
};

/**
 * Structure and widths under one number of bytes, those of the graph itself among them: structure by one allocation over
 * both, widths again on the result.
 */
const shrinkBytes = async (
  model: Model,
  original: Program,
  share: number,
  options: AutoOptions,
  context: StageContext,
  report: AutoReport,
): Promise<Model> => {
  const program = cloneProgram(original);
  const bytes = Math.floor(measureCost(program).storedBytes * share);
  const fixed = graphBytes(program, { integers: true, compact: options.compact });
  if (!options.compact) report.told(compactFinding(program, fixed, bytes));
  const found = await survey({ program, options, scope: 'all', measure: 'bytes', context });
  report.forecast(forecastOf(found, 'bytes', fixed), 'bytes');
  const allocation = allocateStructure(found, { kind: 'cost', measure: 'bytes', most: bytes - fixed });
  report.allocated(allocation, found.findings);
  const edits = editsOf(allocation);
  if (edits.length > 0) {
    const factored = await found.apply(program, edits);
    report.told(await refitStructure(program, original, { options, context, factored, step: 1 }));
  }
  const left = bytes - graphBytes(program, { integers: true, compact: options.compact });
  return roundToBudget({ ...model, program }, left, options, context, report);
};

const shrink = async (
  model: Model,
  original: Program,
  options: AutoOptions,
  context: StageContext,
  report: AutoReport,
): Promise<Model> => {
  const { budget, kinds } = options;
  if (budget.kind === 'kl') return searchDivergence({ model, original, limit: budget.nats, options, context, report });
  if (budget.kind === 'latency')
    return searchLatency({ model, original, limit: budget.share, options, context, report });
  if (kinds.includes('bits')) return shrinkBytes(model, original, budget.share, options, context, report);
  const program = cloneProgram(original);
  await shrinkStructure(program, original, budget, options, context, report);
  return { ...model, program };
};

/** Makes a copy of a model as small as the budget asks by whatever kinds of compression lose least together. */
export const runAuto = async (model: Model, options: AutoOptions, context: StageContext): Promise<StageResult> => {
  if (!context.calibration) throw internalError('the auto stage was started without calibration data');
  const original = prepareForSlicing(model.program);
  const report = new AutoReport(original, context);
  const result = await shrink(model, original, options, context, report);
  const healed = options.healSteps > 0 ? await healModel(result, model, options.healSteps, context) : undefined;
  const findings: Finding[] = [
    ...(await report.findings((healed?.model ?? result).program)),
    ...(healed?.findings ?? []),
  ];
  return { model: healed?.model ?? result, findings };
};
