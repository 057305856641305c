import { SampledMean } from './mean.ts';
import type { DataMetric } from './metric.ts';
import { labelRanks } from './ranks.ts';

/** Share of labels (or next tokens) among the `k` classes with the highest scores. */
const topK = (k: number, name: string, summary: string): DataMetric => ({
  kind: 'data',
  name,
  summary,
  unit: 'fraction',
  better: 'higher',
  needsReference: false,
  needsClasses: true,
  needs: 'labelled samples, text or tokens, and a model that scores classes',
  start: () => {
    const hits = new SampledMean();
    return {
      add: ({ classified }) => {
        if (!classified?.labels) return;
        let right = 0;
        let count = 0;
        labelRanks(classified.logits, classified.labels, classified.classes).forEach((above, row) => {
          if (!classified.counts(row)) return;
          if (above < k) right++;
          count++;
        });
        hits.add(right, count);
      },
      result: () => (hits.count === 0 ? undefined : { value: hits.mean, interval: hits.interval, count: hits.count }),
    };
  },
});

export const accuracy = topK(1, 'accuracy', 'the share of labels (or next tokens) that get the highest score');
export const accuracyTop5 = topK(
  5,
  'accuracy-top5',
  'the share of labels (or next tokens) among the five highest scores',
);
