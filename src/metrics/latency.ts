import { availableParallelism } from 'node:os';
import { CompressError } from '../errors.ts';
import { bindingOf, runSample } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import { withSession } from '../execution/session.ts';
import type { ModelMetric } from './metric.ts';

const warmUpRuns = 3;
const leastRuns = 10;
const mostRuns = 200;
/** Repetition ends when this much time was spent, at the earliest after `leastRuns`. */
const budgetMs = 2000;

/** The value below which a share of sorted numbers lies, between neighbours by straight lines. */
const quantile = (sorted: readonly number[], share: number): number => {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (at - Math.floor(at)) * (above - below);
};

/**
 * Median time of a run over the first sample, in milliseconds, after a warm-up. Its interval is half the distance
 * between the quartiles: a spread, not a confidence interval.
 */
export const latency: ModelMetric = {
  kind: 'model',
  name: 'latency',
  summary: 'the median time of a run over the first sample, with half the distance between the quartiles',
  unit: 'ms',
  better: 'lower',
  needsReference: false,
  measure: async ({ program, dataset, engine, threads, signal }) => {
    const sample = await dataset.sample(0);
    const binding = bindingOf(program);
    return withSession(engine, program, { threads: threads ?? availableParallelism(), signal }, async (session) => {
      const first = await runSample(session, sample, binding, `sample 0 of ${dataset.description}`).next();
      if (first.done) throw new CompressError({ code: 'data', message: 'the first sample has no steps to be timed' });
      const { feeds } = first.value;
      for (let run = 0; run < warmUpRuns; run++) await session.run(feeds);
      const times: number[] = [];
      const begin = performance.now();
      while (times.length < leastRuns || (times.length < mostRuns && performance.now() - begin < budgetMs)) {
        checkSignal(signal);
        const start = performance.now();
        await session.run(feeds);
        times.push(performance.now() - start);
      }
      times.sort((a, b) => a - b);
      return {
        value: quantile(times, 0.5),
        interval: (quantile(times, 0.75) - quantile(times, 0.25)) / 2,
        count: times.length,
      };
    });
  },
};
