import type { Program } from '../../ir/graph.ts';
import type { Site } from '../sites.ts';
import { coefficients, spread } from './coefficients.ts';
import { featureNames, weightFeatures } from './features.ts';

/**
 * How much a disturbance of each weight is likely to cost, relative to the other weights of the model, from the weights
 * alone: no data, no gradients. A linear model of the logarithm of measured divergences, trained on small language and
 * vision models (bench/train-sensitivity.ts); the idea of a sensitivity predictor before a choice of ranks is that of
 * Minima (arXiv 2602.01613).
 * @param sites of the program, in execution order
 * @returns by name; around 1
 */
export const learnedSensitivities = async (
  program: Program,
  sites: readonly Site[],
  signal?: AbortSignal,
): Promise<Map<string, number>> => {
  const rows = await weightFeatures(program, sites, signal);
  return new Map(
    sites.map(({ name }, at) => {
      const score = featureNames.reduce((sum, feature, index) => sum + coefficients[feature] * rows[at]![index]!, 0);
      return [name, Math.exp(spread * score)];
    }),
  );
};
