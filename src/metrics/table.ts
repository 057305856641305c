import { accuracy, accuracyTop5 } from './accuracy.ts';
import { agreement } from './agreement.ts';
import { cosine, neighbours, snr } from './distance.ts';
import { kl } from './divergence.ts';
import { latency } from './latency.ts';
import type { Metric } from './metric.ts';
import { nll, perplexity } from './perplexity.ts';
import { size } from './size.ts';

/** Every metric, by the name that recipes and reports use. */
export const metrics: readonly Metric[] = [
  perplexity,
  nll,
  kl,
  agreement,
  accuracy,
  accuracyTop5,
  snr,
  cosine,
  neighbours,
  size,
  latency,
];
