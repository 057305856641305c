import type { featureNames } from './features.ts';

/** Made by bench/train-sensitivity.ts: what each feature adds to the standardised logarithm of a weight's sensitivity. */
export const coefficients: Readonly<Record<(typeof featureNames)[number], number>> = {
  'mean square': 0.077,
  'stable rank': 0.1298,
  'effective rank': 0.0615,
  'energy of the lower half': 0.1768,
  kurtosis: -0.0818,
  'largest over root mean square': -0.0734,
  'range of rows': -0.0779,
  rows: -0.002,
  columns: 0.129,
  depth: 0.0845,
  'depth squared': -0.0008,
  first: -0.1057,
  last: -0.0117,
  'place in its block': 0.1789,
};

/** Standard deviation of the logarithm of sensitivities within a model, in the mean. */
export const spread = 1.1983;
