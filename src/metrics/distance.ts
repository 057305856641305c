import { floatsOfArray } from '../execution/arrays.ts';
import { difference } from '../kernels/index.ts';
import { embeddingOf } from './embedding.ts';
import { SampledMean } from './mean.ts';
import type { DataMetric } from './metric.ts';

/** What equal outputs count as: reports are JSON, which has no infinity. Double precision ends near 320 dB. */
const equalDecibels = 400;

/**
 * 10 log₁₀(Σ reference² / Σ (reference − output)²) over all elements of the primary output and all samples, in
 * decibels; 400 when the outputs are equal.
 */
export const snr: DataMetric = {
  kind: 'data',
  name: 'snr',
  summary: 'the signal-to-noise ratio of the output against the reference model’s',
  unit: 'dB',
  better: 'higher',
  needsReference: true,
  needsClasses: false,
  needs: 'a model with a floating-point output',
  start: () => {
    let signal = 0;
    let noise = 0;
    let count = 0;
    return {
      add: ({ facts }) => {
        if (!facts.reference) return;
        const reference = floatsOfArray(facts.reference);
        const sums = difference(reference, floatsOfArray(facts.output));
        signal += sums.signal;
        noise += sums.noise;
        count += reference.length;
      },
      result: () => {
        if (count === 0) return undefined;
        return { value: noise === 0 ? equalDecibels : 10 * Math.log10(signal / noise), count };
      },
    };
  },
};

const cosineOf = (a: Float32Array, b: Float32Array): number => {
  const { signal, other, dot } = difference(a, b);
  return signal === 0 || other === 0 ? Number(signal === other) : dot / Math.sqrt(signal * other);
};

/** Mean over runs of the cosine between output and reference, each as one vector (the mean over tokens for encoders). */
export const cosine: DataMetric = {
  kind: 'data',
  name: 'cosine',
  summary: 'the mean cosine between outputs (of encoders, their means over tokens) and the reference model’s',
  better: 'higher',
  needsReference: true,
  needsClasses: false,
  needs: 'a model with a floating-point output',
  start: () => {
    const cosines = new SampledMean();
    return {
      add: (step) => {
        const pair = embeddingOf(step);
        if (pair.reference) cosines.add(cosineOf(pair.output, pair.reference), 1);
      },
      result: () =>
        cosines.count === 0 ? undefined : { value: cosines.mean, interval: cosines.interval, count: cosines.count },
    };
  },
};

/** For each vector the number of the other one with the highest cosine. */
const nearestNeighbours = (vectors: readonly Float32Array[]): number[] =>
  vectors.map((vector, index) => {
    let best = -1;
    let highest = Number.NEGATIVE_INFINITY;
    vectors.forEach((other, at) => {
      if (at === index) return;
      const found = cosineOf(vector, other);
      if (found > highest) {
        highest = found;
        best = at;
      }
    });
    return best;
  });

/**
 * Share of samples whose nearest neighbour among all samples, by cosine, is the same as with the reference. With fewer
 * than three samples it cannot be another one.
 */
export const neighbours: DataMetric = {
  kind: 'data',
  name: 'neighbours',
  summary: 'the share of samples with the same nearest neighbour (by cosine) as with the reference model',
  unit: 'fraction',
  better: 'higher',
  needsReference: true,
  needsClasses: false,
  needs: 'a model whose floating-point output has the same size for every sample',
  start: () => {
    const outputs: Float32Array[] = [];
    const references: Float32Array[] = [];
    return {
      add: (step) => {
        const pair = embeddingOf(step);
        if (!pair.reference) return;
        outputs.push(Float32Array.from(pair.output));
        references.push(Float32Array.from(pair.reference));
      },
      result: () => {
        if (new Set(outputs.map((output) => output.length)).size !== 1) return undefined;
        const expected = nearestNeighbours(references);
        const same = new SampledMean();
        nearestNeighbours(outputs).forEach((neighbour, index) => {
          same.add(Number(neighbour === expected[index]), 1);
        });
        return { value: same.mean, interval: same.interval, count: same.count };
      },
    };
  },
};
