import { statSync } from 'node:fs';
import type { Model } from '../ir/model.ts';
import { sizeMetric } from './choose-metrics.ts';
import type { MetricResult } from './events.ts';

/**
 * Bytes of the files that hold the graph and the weights of an opened model: what is deployed today.
 * @param inputs every file that it was opened from (see inputFiles).
 */
export const modelBytes = (model: Model, inputs: readonly string[]): number => {
  const companions = new Set(model.companions.map((companion) => companion.path));
  return inputs
    .filter((path) => !companions.has(path) && !path.endsWith('.json'))
    .reduce((sum, path) => sum + statSync(path).size, 0);
};

/** The size as a metric of its own, which no dataset has a part in. */
export const sizeResult = (bytes: number): MetricResult => ({
  metric: sizeMetric,
  dataset: '',
  value: bytes,
  unit: 'bytes',
  count: 1,
  better: 'lower',
});
