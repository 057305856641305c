import { floatsOfArray } from '../execution/arrays.ts';
import { embeddingOf } from './embedding.ts';
import { SampledMean } from './mean.ts';
import type { DataMetric } from './metric.ts';

/**
 * 10 log₁₀(Σ reference² / Σ (reference − output)²) over all elements of the primary output and all samples, in
 * decibels; Infinity when the outputs are equal.
 */
export const snr: DataMetric = {
  kind: 'data',
  name: 'snr',
  summary: 'the signal-to-noise ratio of the output against the reference model’s',
  unit: 'dB',
  better: 'higher',
  needsReference: true,
  needs: 'a model with a floating-point output',
  start: () => {
    let signal = 0;
    let noise = 0;
    let count = 0;
    return {
      add: ({ facts }) => {
        if (!facts.reference) return;
        const output = floatsOfArray(facts.output);
        const reference = floatsOfArray(facts.reference);
        for (let index = 0; index < reference.length; index++) {
          signal += reference[index]! ** 2;
          noise += (reference[index]! - output[index]!) ** 2;
        }
        count += reference.length;
      },
      result: () => (count === 0 ? undefined : { value: 10 * Math.log10(signal / noise), count }),
    };
  },
};

const cosineOf = (a: Float32Array, b: Float32Array): number => {
  let dot = 0;
  let lengthA = 0;
  let lengthB = 0;
  for (let index = 0; index < a.length; index++) {
    dot += a[index]! * b[index]!;
    lengthA += a[index]! ** 2;
    lengthB += b[index]! ** 2;
  }
  return lengthA === 0 || lengthB === 0 ? Number(lengthA === lengthB) : dot / Math.sqrt(lengthA * lengthB);
};

/** Mean over runs of the cosine between output and reference, each as one vector (the mean over tokens for encoders). */
export const cosine: DataMetric = {
  kind: 'data',
  name: 'cosine',
  summary: 'the mean cosine between outputs (of encoders, their means over tokens) and the reference model’s',
  better: 'higher',
  needsReference: true,
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

/** Share of samples whose nearest neighbour among all samples, by cosine, is the same as with the reference. */
export const neighbours: DataMetric = {
  kind: 'data',
  name: 'neighbours',
  summary: 'the share of samples with the same nearest neighbour (by cosine) as with the reference model',
  better: 'higher',
  needsReference: true,
  needs: 'at least three samples, and a model with a floating-point output',
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
        if (outputs.length < 3) return undefined;
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
