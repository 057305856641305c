import type { SharingMethod } from './method.ts';
import { withResiduals } from './residual.ts';

/** Where a layer lies between the first and the last: from 0 to 1. */
const placeOf = (layer: number, count: number): number => (count > 1 ? layer / (count - 1) : 0);

/**
 * Linear expansion (TLEG, 2312.05614): W_l = P + t_l Q with t_l from 0 to 1 along the depth; P and Q are the least squares
 * of the layers' weights, so that any depth can be made of the same two matrices.
 */
export const linearExpansion: SharingMethod = {
  name: 'linear',
  summary: 'two matrices, mixed linearly along the depth, with private low-rank rests (Learngene TLEG)',
  options: (input, options) => {
    const { layers } = input;
    const count = layers.length;
    const places = layers.map((_, layer) => placeOf(layer, count));
    const [sum, squares] = [places.reduce((a, b) => a + b, 0), places.reduce((a, b) => a + b * b, 0)];
    const determinant = count * squares - sum * sum;
    const length = layers[0]!.weight.length;
    const [base, slope] = [new Float64Array(length), new Float64Array(length)];
    layers.forEach(({ weight }, layer) => {
      const t = places[layer]!;
      const toBase = determinant > 0 ? (squares - sum * t) / determinant : 1 / count;
      const toSlope = determinant > 0 ? (count * t - sum) / determinant : 0;
      for (let index = 0; index < length; index++) {
        base[index]! += toBase * weight[index]!;
        slope[index]! += toSlope * weight[index]!;
      }
    });
    return withResiduals(
      { label: 'linear in depth', atoms: [base, slope], coefficients: places.map((t) => [1, t]) },
      input,
      options,
    );
  },
};
