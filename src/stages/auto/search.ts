import { sumCosts } from '../../curvature/options.ts';
import { CompressError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import type { StageContext } from '../stage.ts';
import { measureDivergence, measureLatency } from './measure.ts';
import type { AutoOptions } from './options.ts';
import type { AutoReport } from './report.ts';
import { allocateStructure, allocateWithinLoss, refitStructure, survey } from './structure.ts';

export interface SearchRequest {
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

interface Attempt {
  readonly program: Program;
  readonly measured: number;
}

/**
 * The smallest program whose measured divergence is within the limit: predicted losses are allowed in proportion to
 * what the attempts before measured.
 */
export const searchDivergence = async (request: SearchRequest): Promise<Program> => {
  const { original, limit, options, context, report } = request;
  let allowed = limit;
  let [low, high] = [0, Number.POSITIVE_INFINITY];
  let best: Attempt | undefined;
  for (let attempt = 1; attempt <= tries; attempt++) {
    const program = cloneProgram(original);
    const found = await survey({ program, options, scope: 'all', measure: 'parameters', context });
    const allocation = allocateWithinLoss(found, 'parameters', allowed);
    await found.apply(allocation.picks.flatMap(({ data }) => data));
    await refitStructure(program, original, options, context, attempt);
    const measured = await measureDivergence(program, original, context);
    report.tried(`predicted loss up to ${allowed.toPrecision(3)} nats`, measured, 'nats measured');
    if (measured <= limit) {
      low = allowed;
      best = { program, measured };
      report.allocated(found.choices, allocation, attempt === 1 ? found.findings : []);
      if (measured >= nearEnough * limit) break;
    } else high = allowed;
    const scaled = measured > 0 ? allowed * ((0.97 * limit) / measured) : 2 * allowed;
    const inside = scaled > low && scaled < high;
    allowed = inside ? scaled : Number.isFinite(high) ? (low + high) / 2 : 2 * allowed;
  }
  return best?.program ?? cloneProgram(original);
};

/** The program with the most operations whose measured time is within the limit. */
export const searchLatency = async (request: SearchRequest): Promise<Program> => {
  const { original, limit, options, context, report } = request;
  const before = await measureLatency(original, context);
  let [low, high] = [0, 1];
  let share = limit;
  let best: number | undefined;
  for (let attempt = 1; attempt <= tries; attempt++) {
    const program = cloneProgram(original);
    const found = await survey({ program, options, scope: 'all', measure: 'operations', context });
    const least = sumCosts(
      found.choices.map(
        ({ options: list }) => list.reduce((a, b) => (b.cost.operations < a.cost.operations ? b : a)).cost,
      ),
    ).operations;
    const most = Math.max(share * found.costs.total.operations, least * 1.02);
    const allocation = allocateStructure(found, 'operations', most);
    await found.apply(allocation.picks.flatMap(({ data }) => data));
    const measured = (await measureLatency(program, context)) / before;
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
  const program = cloneProgram(original);
  const found = await survey({ program, options, scope: 'all', measure: 'operations', context });
  const allocation = allocateStructure(found, 'operations', best * found.costs.total.operations);
  report.allocated(found.choices, allocation, found.findings);
  await found.apply(allocation.picks.flatMap(({ data }) => data));
  await refitStructure(program, original, options, context, 0);
  return program;
};
