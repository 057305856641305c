import { SampledMean } from './mean.ts';
import type { Accumulator, DataMetric } from './metric.ts';

/** Mean of −log p(token) over the tokens to be predicted; `toResult` maps the mean and its half interval. */
const lossAccumulator = (
  toResult: (mean: number, interval: number | undefined) => { value: number; interval: number | undefined },
  onlyTokens: boolean,
): Accumulator => {
  const losses = new SampledMean();
  return {
    add: (step) => {
      const { classified } = step;
      const loss = classified?.loss;
      if (!classified || !loss || (onlyTokens && !step.facts.tokens)) return;
      let sum = 0;
      let count = 0;
      loss.forEach((nats, row) => {
        if (!classified.counts(row)) return;
        sum += nats;
        count++;
      });
      losses.add(sum, count);
    },
    result: () => (losses.count === 0 ? undefined : { ...toResult(losses.mean, losses.interval), count: losses.count }),
  };
};

/** e^(mean −log p) of tokens. Its interval is that of the mean, carried through the exponential to first order. */
export const perplexity: DataMetric = {
  kind: 'data',
  name: 'perplexity',
  summary: 'the perplexity of predicted tokens',
  better: 'lower',
  needsReference: false,
  needsClasses: true,
  needs: 'text or tokens, and a model that scores its vocabulary at every position',
  start: () =>
    lossAccumulator((mean, interval) => {
      const value = Math.exp(mean);
      return { value, interval: interval === undefined ? undefined : value * interval };
    }, true),
};

/** Mean of −log p(label), of tokens or of classes. */
export const nll: DataMetric = {
  kind: 'data',
  name: 'nll',
  summary: 'the mean negative log likelihood of predicted tokens or of class labels',
  unit: 'nats',
  better: 'lower',
  needsReference: false,
  needsClasses: true,
  needs: 'text, tokens or labelled samples, and a model that scores classes',
  start: () => lossAccumulator((mean, interval) => ({ value: mean, interval }), false),
};
