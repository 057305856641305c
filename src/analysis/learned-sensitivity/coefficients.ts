import type { featureNames } from './features.ts';

/** Made by bench/train-sensitivity.ts: what each feature adds to the standardised logarithm of a weight's sensitivity. */
export const coefficients: Readonly<Record<(typeof featureNames)[number], number>> = {
  'sum of squares': 0.0919,
  'effective rank': 0.1425,
  'energy of the lower half': 0.139,
  'range of rows': 0.102,
  columns: 0.111,
  'place in its block': 0.1739,
  'in series': 0.0617,
};

/** Standard deviation of the logarithm of sensitivities within a model, in the mean. */
export const spread = 1.136;
