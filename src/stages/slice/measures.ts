import type { CostMeasure } from '../../curvature/options.ts';
import type { CostScope } from '../../curvature/removal/costs.ts';
import type { SliceMeasure, SliceOptions } from './options.ts';

/** Constants that a measure counts. */
export const scopeOf = (measure: SliceMeasure): CostScope => (measure === 'block_parameters' ? 'blocks' : 'all');

export const costMeasureOf = (measure: SliceMeasure): CostMeasure =>
  measure === 'operations' || measure === 'latency' ? 'operations' : 'parameters';

/** A deep cut goes in several steps, since the quadratic is trusted only near the model that it was taken at. */
const sharePerStep = 0.15;

export const stepsOf = ({ steps, ratio, method, allocation }: SliceOptions): number => {
  if (steps !== 'auto') return steps;
  if (allocation === 'nested') return 1;
  return method === 'obs' || method === 'fisher' ? Math.max(1, Math.round(ratio / sharePerStep)) : 1;
};
