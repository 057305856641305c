import { findChannelGroups } from '../../analysis/channel-groups/groups.ts';
import { applyRemoval } from '../../curvature/removal/apply.ts';
import { choiceOf } from '../../curvature/removal/choices.ts';
import { WeightCosts } from '../../curvature/removal/costs.ts';
import { CompressError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { measureLatency } from '../measure-model.ts';
import type { StageContext } from '../stage.ts';
import { allocateRemovals } from './allocate.ts';
import { findCandidates } from './candidates.ts';
import { magnitude } from './methods/magnitude.ts';
import type { SliceOptions } from './options.ts';
import { noStatistics } from './statistics.ts';

/** A copy cut alike everywhere by the size of weights: as fast as any other with these operations, whatever it computes. */
const cutAlike = async (
  given: Program,
  options: SliceOptions,
  ratio: number,
  signal: AbortSignal,
): Promise<Program> => {
  const program = cloneProgram(given);
  const found = findChannelGroups(program);
  const { pools, limitsOf } = findCandidates(program, found, options);
  const costs = new WeightCosts(program, 'all');
  const ranked = await Promise.all(
    pools.map(async (pool) => {
      const ranking = await magnitude.rank({ pool, costs, statistics: noStatistics, damp: options.damp, signal });
      return { ranking, choice: choiceOf(pool, ranking, costs, { ...limitsOf(pool), mayEmpty: false }) };
    }),
  );
  const most = costs.total.operations * (1 - ratio);
  const { picks } = allocateRemovals(ranked, costs, { rule: 'uniform', measure: 'operations', most });
  await applyRemoval(program, found, picks, { signal });
  return program;
};

const probes = 5;

/**
 * The share of operations that has to go so that a run of the first calibration sample takes the asked share less time on
 * this machine, found by timing cuts. Times differ from run to run, so this is the one measure that is not reproducible.
 * @throws 'mismatch' where no cut is fast enough, 'data' without calibration data.
 */
export const operationsForLatency = async (
  program: Program,
  options: SliceOptions,
  context: StageContext,
): Promise<{ readonly ratio: number; readonly finding: Finding }> => {
  const { calibration: dataset, emit, signal } = context;
  if (!dataset) throw new CompressError({ code: 'data', message: 'a ratio of latency needs a sample to time' });
  const before = await measureLatency(program, dataset, context);
  const wanted = before * (1 - options.ratio);
  let [low, high] = [0, 0.95];
  let best: { ratio: number; time: number } | undefined;
  for (let probe = 1; probe <= probes; probe++) {
    const middle = (low + high) / 2;
    const cut = await cutAlike(program, options, middle, signal).catch((error: unknown) => {
      if (error instanceof CompressError && error.code === 'mismatch') return undefined;
      throw error;
    });
    const time = cut && (await measureLatency(cut, dataset, context));
    if (time !== undefined && time <= wanted) best = { ratio: middle, time };
    if (time === undefined || time <= wanted) high = middle;
    else low = middle;
    emit({ type: 'progress', task: 'timing cuts', done: probe, total: probes, unit: 'probes' });
  }
  if (!best)
    throw new CompressError({
      code: 'mismatch',
      message: `no cut takes ${(100 * options.ratio).toFixed(0)} % less than ${before.toPrecision(3)} ms on this machine`,
      where: { key: 'ratio' },
      hint: 'Ask for less, or for what stays to be a multiple of what kernels like (multiple: 8).',
    });
  const facts = { before, after: best.time, operations: best.ratio };
  const text = `${before.toPrecision(3)} ms become ${best.time.toPrecision(3)} ms on this machine once ${(100 * best.ratio).toFixed(1)} % of the operations are gone`;
  return { ratio: best.ratio, finding: { kind: 'fact', text, facts } };
};
