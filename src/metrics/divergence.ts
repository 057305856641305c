import { SampledMean } from './mean.ts';
import type { DataMetric } from './metric.ts';
import type { MetricStep } from './step.ts';

/** Σ p log(p/q) of two chances of the same event, in nats. */
const chanceDivergence = (p: number, q: number): number => {
  const term = (a: number, b: number): number => (a <= 0 ? 0 : a * Math.log(a / Math.max(b, 1.2e-38)));
  return term(p, q) + term(1 - p, 1 - q);
};

/** Divergences of the rows of a step that count. */
const divergencesOf = (step: MetricStep): number[] => {
  const { classified, referenceRows, rows } = step;
  if (classified?.divergence) return Array.from(classified.divergence).filter((_, row) => classified.counts(row));
  if (step.facts.kind !== 'chance' || !referenceRows || rows.width !== 1) return [];
  return Array.from(referenceRows.data, (p, row) => chanceDivergence(p, rows.data[row] ?? Number.NaN));
};

/** D(reference ‖ model) in nats per token or sample, averaged in double precision. */
export const kl: DataMetric = {
  kind: 'data',
  name: 'kl',
  summary: 'the Kullback-Leibler divergence from the reference model’s distribution',
  unit: 'nats',
  better: 'lower',
  needsReference: true,
  needsClasses: true,
  needs: 'a model whose output is scores or probabilities of classes',
  start: () => {
    const divergences = new SampledMean();
    return {
      add: (step) => {
        const found = divergencesOf(step);
        divergences.add(
          found.reduce((sum, nats) => sum + nats, 0),
          found.length,
        );
      },
      result: () =>
        divergences.count === 0
          ? undefined
          : { value: divergences.mean, interval: divergences.interval, count: divergences.count },
    };
  },
};
