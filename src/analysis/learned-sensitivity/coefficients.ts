import type { featureNames } from './features.ts';

/** Made by bench/train-sensitivity.ts: what each feature adds to the standardised logarithm of a weight's sensitivity. */
export const coefficients: Readonly<Record<(typeof featureNames)[number], number>> = {
  'mean square': -0.0113,
  'stable rank': 0.0653,
  'effective rank': 0.0489,
  'energy of the lower half': 0.0545,
  kurtosis: -0.0414,
  'largest over root mean square': -0.0355,
  'range of rows': 0.0288,
  rows: 0.0144,
  columns: 0.0294,
  depth: 0.0248,
  'depth squared': 0.0117,
  first: -0.019,
  last: -0.0015,
  'place in its block': 0.0705,
};

/** Standard deviation of the logarithm of sensitivities within a model, in the mean. */
export const spread = 1.2306;
