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
import { predictedFinding } from './predicted.ts';
import { rotateInputs } from './rotate.ts';
import type { UnitFacts } from './round-unit.ts';
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
  const facts = new Map<WeightUnit, UnitFacts>();
  const done: UnitDone = (unit, rounded) => {
    const { fallbacks } = rounded;
    for (const text of fallbacks) findings.push({ kind: 'fallback', site: unit.name, text });
    const common = { scheme: describeScheme(unit.scheme), method: unit.method };
    emit({ type: 'site-finished', stage: 'quantize', site: unit.name, facts: { ...common, ...rounded.facts } });
    facts.set(unit, rounded.facts);
    const total = plan.units.length;
    emit({ type: 'progress', task: 'rounding weights', done: facts.size, total, unit: 'weights', item: unit.name });
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
  const routing = calibration ? await routingFindings(model.program, calibration, context) : [];
  const found = [...predictedFinding(facts.values()), ...routing, ...fewTokens(facts)];
  return { model: { ...model, program }, findings: [...findings, ...found] };
};

/** Experts that saw fewer tokens than they have inputs. */
const fewTokens = (facts: ReadonlyMap<WeightUnit, UnitFacts>): Finding[] => {
  const tokens = [...facts].flatMap(([unit, { tokens }]) => (tokens === undefined ? [] : [{ unit, tokens }]));
  const few = tokens.filter(({ unit, tokens }) => tokens < unit.sites[0].columns).sort((a, b) => a.tokens - b.tokens);
  const [least] = few;
  if (!least) return [];
  const text = `${few.length} of ${tokens.length} expert weights saw fewer tokens than they have inputs (least: ${least.unit.name}, ${least.tokens}): rounded for their layer’s tokens as far as their own are missing`;
  return [{ kind: 'warning', text }];
};
