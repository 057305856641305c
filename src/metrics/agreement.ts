import { SampledMean } from './mean.ts';
import type { DataMetric } from './metric.ts';
import type { MetricStep } from './step.ts';

/** Whether each decision of a step that counts is the reference's: the best class, or a chance above one half. */
const agreements = (step: MetricStep): boolean[] => {
  const { classified, rows, referenceRows } = step;
  if (classified?.agrees)
    return Array.from(classified.agrees, (agrees) => agrees === 1).filter((_, row) => classified.counts(row));
  if (step.facts.kind !== 'chance' || !referenceRows || rows.width !== 1) return [];
  return Array.from(rows.data, (chance, row) => chance > 0.5 === referenceRows.data[row]! > 0.5);
};

export const agreement: DataMetric = {
  kind: 'data',
  name: 'agreement',
  summary: 'the share of decisions (best class, or chance above one half) that are the reference model’s',
  unit: 'fraction',
  better: 'higher',
  needsReference: true,
  needsClasses: true,
  needs: 'a model whose output is scores, probabilities or a single chance',
  start: () => {
    const same = new SampledMean();
    return {
      add: (step) => {
        const found = agreements(step);
        same.add(found.filter(Boolean).length, found.length);
      },
      result: () => (same.count === 0 ? undefined : { value: same.mean, interval: same.interval, count: same.count }),
    };
  },
};
