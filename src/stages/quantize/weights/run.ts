import { packSite } from '../../../analysis/site-weights.ts';
import { CompressError } from '../../../errors.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import type { Model } from '../../../ir/model.ts';
import type { Finding } from '../../../recipe/events.ts';
import { routingFindings } from '../../routing-findings.ts';
import type { StageContext, StageResult } from '../../stage.ts';
import type { WeightOptions } from '../options.ts';
import { needsGram, planWeights, type WeightUnit } from './plan.ts';
import { averageFinding, growthFindings } from './plan-sites.ts';
import { predictedLoss } from './predicted.ts';
import { rotateInputs } from './rotate.ts';
import { roundDirectly, type UnitDone } from './run-direct.ts';
import { roundSequentially } from './run-sequential.ts';
import { describeScheme } from './scheme.ts';

/**
 * Replaces the weights that the options name by integers with scales, in a copy of the model. The graph keeps its
 * operators: what the integers become in a file is the format's business.
 * @throws CompressError 'numeric' for weights that are not finite, 'data' for data that do not fit, 'interrupted'.
 */
export const quantizeWeights = async (
  model: Model,
  options: WeightOptions,
  context: StageContext,
): Promise<StageResult> => {
  const program = cloneProgram(model.program);
  const { calibration, emit } = context;
  const first = planWeights(program, options, calibration !== undefined);
  const rotated = options.rotate
    ? rotateInputs(
        program,
        first.units.flatMap(({ sites }) => sites),
        context.seed,
      )
    : undefined;
  // Rotations put products into the graph, which are not the model's.
  const plan = rotated
    ? planWeights(program, { ...options, ignore: [...options.ignore, ...rotated.products] }, calibration !== undefined)
    : first;
  if (plan.units.length === 0 && options.weights.bits === 'auto')
    throw new CompressError({
      code: 'recipe',
      message: 'bits: auto takes the widths that a sensitivity stage has allocated, and this model carries none',
      hint: 'Put a stage `sensitivity: { budget: { average_bits: 3 } }` before this one, or name the bits.',
    });
  const findings: Finding[] = [
    ...(rotated?.findings ?? []),
    ...plan.findings,
    ...averageFinding(plan.units),
    ...growthFindings(plan.units),
  ];
  /** Tokens that reached each expert. */
  const tokens = new Map<WeightUnit, number>();
  let finished = 0;
  const done: UnitDone = (unit, { facts, fallbacks }) => {
    for (const text of fallbacks) findings.push({ kind: 'fallback', site: unit.name, text });
    const common = { scheme: describeScheme(unit.scheme), method: unit.method };
    emit({ type: 'site-finished', stage: 'quantize', site: unit.name, facts: { ...common, ...facts } });
    if (facts.tokens !== undefined) tokens.set(unit, facts.tokens);
    finished++;
    const total = plan.units.length;
    emit({ type: 'progress', task: 'rounding weights', done: finished, total, unit: 'weights', item: unit.name });
  };
  if (calibration && plan.units.some(needsGram))
    await roundSequentially({
      program,
      units: plan.units,
      dataset: calibration,
      options,
      context,
      found: (finding) => findings.push(finding),
      done,
    });
  else
    await roundDirectly(plan.units, options.settings, context, (unit, rounded) => {
      packSite(unit.sites[0], rounded.packing);
      done(unit, rounded);
    });
  if (calibration && !rotated) findings.push(...(await predictedLoss(model.program, plan.units, calibration, context)));
  const routing = calibration ? await routingFindings(model.program, calibration, context) : [];
  return { model: { ...model, program }, findings: [...findings, ...routing, ...fewTokens(tokens)] };
};

/** Experts that saw fewer tokens than they have inputs. */
const fewTokens = (tokens: ReadonlyMap<WeightUnit, number>): Finding[] => {
  const few = [...tokens].filter(([{ sites }, count]) => count < sites[0].columns).sort(([, a], [, b]) => a - b);
  const [least] = few;
  if (!least) return [];
  const text = `${few.length} of ${tokens.size} expert weights saw fewer tokens than they have inputs (least: ${least[0].name}, ${least[1]}): rounded for their layer’s tokens as far as their own are missing`;
  return [{ kind: 'warning', text }];
};
