import { measureCost } from '../../analysis/cost.ts';
import {
  allocateOptions,
  type CompressionChoice,
  type CostMeasure,
  type OptionAllocation,
  optionFront,
} from '../../curvature/options.ts';
import type { CostScope } from '../../curvature/removal/costs.ts';
import { internalError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { prepareForSlicing } from '../slice/prepare.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { roundToBudget } from './bits.ts';
import type { Edit } from './edit.ts';
import { healModel } from './heal.ts';
import type { AutoOptions } from './options.ts';
import { AutoReport } from './report.ts';
import { searchDivergence, searchLatency } from './search.ts';
import { allocateStructure, refitStructure, survey } from './structure.ts';
import { surveyWidths, withWidths } from './widths.ts';

/** A share of a cost that may be left, in what it is counted and over what. */
export interface ShareGoal {
  readonly measure: CostMeasure;
  readonly scope: CostScope;
  readonly share: number;
}

const goals = {
  size: { measure: 'bytes', scope: 'all' },
  parameters: { measure: 'parameters', scope: 'all' },
  block_parameters: { measure: 'parameters', scope: 'blocks' },
  operations: { measure: 'operations', scope: 'all' },
} as const satisfies Record<string, Omit<ShareGoal, 'share'>>;

/** Steps of a budget: one for up to two fifths that go, one more for each further fifth. */
const stepsFor = ({ steps }: Pick<AutoOptions, 'steps'>, share: number): number =>
  steps === 'auto' ? Math.max(1, Math.ceil((1 - share) / 0.2 - 1e-9) - 1) : steps;

/** Changes the structure of a program in place until a share of its cost is left. */
const shrinkStructure = async (
  program: Program,
  original: Program,
  goal: ShareGoal,
  options: AutoOptions,
  context: StageContext,
  report: AutoReport,
): Promise<void> => {
  const { measure, scope, share } = goal;
  const steps = stepsFor(options, share);
  let total = 0;
  for (let step = 1; step <= steps; step++) {
    const found = await survey({ program, options, scope, measure, context });
    if (step === 1) total = found.costs.total[measure];
    const allocation = allocateStructure(found, measure, total * share ** (step / steps));
    report.allocated(found.choices, allocation, found.findings);
    await found.apply(allocation.picks.flatMap(({ data }) => data));
    await refitStructure(program, original, options, context, step);
  }
};

/** Structure and widths under one number of bytes: structure by one allocation over both, widths again on the result. */
const shrinkBytes = async (
  model: Model,
  original: Program,
  share: number,
  options: AutoOptions,
  context: StageContext,
  report: AutoReport,
): Promise<Model> => {
  const program = cloneProgram(original);
  const { storedBytes } = measureCost(program);
  const bytes = Math.floor(storedBytes * share);
  const found = await survey({ program, options, scope: 'all', measure: 'bytes', context });
  const widths = await surveyWidths(program, options, context);
  const choices: readonly CompressionChoice<readonly Edit[]>[] = withWidths(found.choices, widths);
  const chosen = choices.reduce((sum, { options: list }) => sum + list[0]!.cost.bytes, 0);
  const allocation: OptionAllocation<readonly Edit[]> = allocateOptions(choices, {
    kind: 'cost',
    measure: 'bytes',
    most: bytes - (storedBytes - chosen),
  });
  report.allocated(choices, allocation, [...found.findings, ...widths.findings]);
  report.front(optionFront(choices, 'bytes'), 'bytes');
  const edits = allocation.picks.flatMap(({ data }) => data);
  if (edits.length > 0) {
    await found.apply(edits);
    await refitStructure(program, original, options, context, 1);
  }
  return roundToBudget({ ...model, program }, bytes, options, context, report);
};

/** Makes a copy of a model as small as the budget asks by whatever kinds of compression lose least together. */
export const runAuto = async (model: Model, options: AutoOptions, context: StageContext): Promise<StageResult> => {
  if (!context.calibration) throw internalError('the auto stage was started without calibration data');
  const original = prepareForSlicing(model.program);
  const report = new AutoReport(original, context);
  const { budget } = options;
  let result: Model;
  if (budget.kind === 'share' && budget.of === 'size' && options.kinds.includes('bits'))
    result = await shrinkBytes(model, original, budget.share, options, context, report);
  else {
    const program = cloneProgram(original);
    if (budget.kind === 'share') {
      const goal: ShareGoal = { ...goals[budget.of], share: budget.share };
      await shrinkStructure(program, original, goal, options, context, report);
      result = { ...model, program };
    } else {
      const search = budget.kind === 'kl' ? searchDivergence : searchLatency;
      const limit = budget.kind === 'kl' ? budget.nats : budget.share;
      result = { ...model, program: await search({ original, limit, options, context, report }) };
    }
  }
  const healed = options.healSteps > 0 ? await healModel(result, model, options.healSteps, context) : undefined;
  const findings: Finding[] = [
    ...(await report.findings((healed?.model ?? result).program)),
    ...(healed?.findings ?? []),
  ];
  return { model: healed?.model ?? result, findings };
};
