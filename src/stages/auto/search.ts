import { measureCost } from '../../analysis/cost.ts';
import { sumCosts } from '../../curvature/options.ts';
import { CompressError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';
import { measureDivergence, measureLatency } from '../measure-model.ts';
import type { StageContext } from '../stage.ts';
import { allocateStructure, editsOf, type StructureAllocation } from './allocate.ts';
import { roundToBudget } from './bits.ts';
import { forecastOf } from './forecast.ts';
import type { AutoOptions } from './options.ts';
import type { AutoReport } from './report.ts';
import { refitStructure, type Survey, survey } from './structure.ts';

export interface SearchRequest {
  readonly model: Model;
  readonly original: Program;
  /** Nats an item, or the share of the time that may be left. */
  readonly limit: number;
  readonly options: AutoOptions;
  readonly context: StageContext;
  readonly report: AutoReport;
}

/** Attempts at most; each is nearer to the limit. */
const tries = 5;
/** A result this near to the limit is good enough. */
const nearEnough = 0.9;

/** A copy of the original as an allocation wants it, corrected; in integers where bits may be used. */
const carryOut = async (
  { model, original, options, context, report }: SearchRequest,
  found: Survey,
  allocation: StructureAllocation,
  attempt: number,
): Promise<Model> => {
  const program = cloneProgram(original);
  const edits = editsOf(allocation);
  if (edits.length > 0) {
    const factored = await found.apply(program, edits);
    report.told(await refitStructure(program, original, { options, context, factored, step: attempt }));
  }
  const made = { ...model, program };
  if (!options.kinds.includes('bits')) return made;
  const dense = sumCosts(allocation.choices.map(({ options: list }) => list[0]!.cost)).bytes;
  const bytes = Math.ceil(measureCost(original).storedBytes - dense + allocation.cost.bytes);
  const own = { ...context, checkpoints: numbered(context, attempt) };
  return roundToBudget(made, bytes, options, own, report);
};

/** Checkpoints of one attempt among several. */
const numbered = ({ checkpoints }: StageContext, attempt: number): StageContext['checkpoints'] => ({
  get: (key) => checkpoints.get(`attempt-${attempt}-${key}`),
  put: (key, bytes) => checkpoints.put(`attempt-${attempt}-${key}`, bytes),
});

/**
 * The smallest model whose measured divergence is within the limit: predicted losses are allowed in proportion to what
 * the attempts before measured.
 */
export const searchDivergence = async (request: SearchRequest): Promise<Model> => {
  const { model, original, limit, options, context, report } = request;
  const measure = options.kinds.includes('bits') ? 'bytes' : 'parameters';
  const found = await survey({ program: original, options, scope: 'all', measure, context });
  report.forecast(forecastOf(found, measure), measure);
  let allowed = limit;
  let [low, high] = [0, Number.POSITIVE_INFINITY];
  let best: { readonly model: Model; readonly allocation: StructureAllocation } | undefined;
  for (let attempt = 1; attempt <= tries; attempt++) {
    const allocation = allocateStructure(found, { kind: 'loss', measure, most: allowed });
    const made = await carryOut(request, found, allocation, attempt);
    const measured = await measureDivergence(made.program, original, context.calibration!, context);
    report.tried(`predicted loss up to ${allowed.toPrecision(3)} nats`, measured, 'nats measured');
    if (measured <= limit) {
      low = allowed;
      best = { model: made, allocation };
      if (measured >= nearEnough * limit) break;
    } else high = allowed;
    const scaled = measured > 0 ? allowed * ((0.97 * limit) / measured) : 2 * allowed;
    const inside = scaled > low && scaled < high;
    allowed = inside ? scaled : Number.isFinite(high) ? (low + high) / 2 : 2 * allowed;
  }
  if (!best) return { ...model, program: cloneProgram(original) };
  report.allocated(best.allocation, found.findings);
  return best.model;
};

/** The program with the most operations whose measured time is within the limit. */
export const searchLatency = async (request: SearchRequest): Promise<Model> => {
  const { original, limit, options, context, report } = request;
  const before = await measureLatency(original, context.calibration!, context);
  const found = await survey({ program: original, options, scope: 'all', measure: 'operations', context });
  const total = found.costs.total.operations;
  report.forecast(forecastOf(found, 'operations'), 'operations');
  const least = sumCosts(
    found.parts.map(
      ({ choice }) => choice.options.reduce((a, b) => (b.cost.operations < a.cost.operations ? b : a)).cost,
    ),
  ).operations;
  const allocateShare = (share: number): StructureAllocation =>
    allocateStructure(found, { kind: 'cost', measure: 'operations', most: Math.max(share * total, least * 1.02) });
  let [low, high] = [0, 1];
  let share = limit;
  let best: number | undefined;
  for (let attempt = 1; attempt <= tries; attempt++) {
    const program = cloneProgram(original);
    await found.apply(program, editsOf(allocateShare(share)));
    const measured = (await measureLatency(program, context.calibration!, context)) / before;
    report.tried(`${(100 * share).toPrecision(3)} % of the operations`, measured, 'of the time');
    if (measured <= limit) {
      low = share;
      best = share;
      if (measured >= nearEnough * limit) break;
    } else high = share;
    const scaled = (share * (0.97 * limit)) / measured;
    share = scaled > low && scaled < high ? scaled : (low + high) / 2;
  }
  if (best === undefined)
    throw new CompressError({
      code: 'mismatch',
      message: `no structure that was tried runs in ${(100 * limit).toPrecision(3)} % of the time on this machine`,
      hint: 'Allow more time, or more kinds of compression.',
    });
  const allocation = allocateShare(best);
  report.allocated(allocation, found.findings);
  return carryOut(request, found, allocation, 0);
};
