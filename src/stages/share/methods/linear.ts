import type { SharingMethod } from './method.ts';
import { withResiduals } from './residual.ts';

/** Where a layer lies between the first and the last: from 0 to 1. */
export const placeOf = (layer: number, count: number): number => (count > 1 ? layer / (count - 1) : 0);

/** P and Q of W_l ≈ P + t_l Q in least squares over the layers, t_l from 0 to 1. */
export const linearFit = (
  weights: readonly Float64Array[],
): { readonly base: Float64Array; readonly slope: Float64Array } => {
  const count = weights.length;
  const places = weights.map((_, layer) => placeOf(layer, count));
  const [sum, squares] = [places.reduce((a, b) => a + b, 0), places.reduce((a, b) => a + b * b, 0)];
  const determinant = count * squares - sum * sum;
  const length = weights[0]!.length;
  const [base, slope] = [new Float64Array(length), new Float64Array(length)];
  weights.forEach((weight, layer) => {
    const t = places[layer]!;
    const toBase = determinant > 0 ? (squares - sum * t) / determinant : 1 / count;
    const toSlope = determinant > 0 ? (count * t - sum) / determinant : 0;
    for (let index = 0; index < length; index++) {
      base[index]! += toBase * weight[index]!;
      slope[index]! += toSlope * weight[index]!;
    }
  });
  return { base, slope };
};

/**
 * Linear expansion (TLEG, 2312.05614): W_l = P + t_l Q with t_l from 0 to 1 along the depth; P and Q are the least squares
 * of the layers' weights, so that any depth can be made of the same two matrices.
 */
export const linearExpansion: SharingMethod = {
  name: 'linear',
  summary: 'two matrices, mixed linearly along the depth, with private low-rank rests (Learngene TLEG)',
  options: (input, options) => {
    const { layers } = input;
    const { base, slope } = linearFit(layers.map(({ weight }) => weight));
    const coefficients = layers.map((_, layer) => [1, placeOf(layer, layers.length)]);
    return withResiduals({ label: 'linear in depth', atoms: [base, slope], coefficients }, input, options);
  },
};
