import type { NumericArray } from '../calibration/dataset.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import type { MetricStep } from './step.ts';

/** Mean over positions of hidden states [1, positions, width]; other outputs as one vector. */
const vectorOf = (array: NumericArray, pooled: boolean): Float32Array => {
  const data = floatsOfArray(array);
  if (!pooled) return data;
  const [, positions = 0, width = 0] = array.shape;
  const mean = new Float64Array(width);
  for (let index = 0; index < data.length; index++) mean[index % width]! += data[index]! / positions;
  return Float32Array.from(mean);
};

/** What a step's output says as one vector: sentence encoders are pooled by the mean over their tokens. */
export const embeddingOf = (step: MetricStep): { output: Float32Array; reference: Float32Array | undefined } => {
  const { output, reference, hidden } = step.facts;
  return { output: vectorOf(output, hidden), reference: reference && vectorOf(reference, hidden) };
};
