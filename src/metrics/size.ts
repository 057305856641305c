import { measureCost } from '../analysis/cost.ts';
import type { ModelMetric } from './metric.ts';

/** Bytes of all constants as they would be stored: packed weights as integers, scales and zero points. */
export const size: ModelMetric = {
  kind: 'model',
  name: 'size',
  summary: 'the bytes of the model’s constants as stored',
  unit: 'bytes',
  better: 'lower',
  needsReference: false,
  measure: async ({ program }) => ({ value: measureCost(program).storedBytes, count: 1 }),
};
