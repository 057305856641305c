import { eigenSymmetric, matmul } from '../../../kernels/index.ts';
import { squareRoot } from '../../factorize/methods/square-root.ts';
import type { SharingInput, SharingMethod, SharingOption } from './method.ts';
import { meanMatrix } from './metric.ts';
import { type AtomShare, withResiduals } from './residual.ts';

/** G_ij = ⟨W_i, W_j⟩ of the layers in the mean metric of all: (layers, layers). */
const gramOfLayers = async ({ layers, rows, columns, signal }: SharingInput): Promise<Float64Array> => {
  const a = await squareRoot(meanMatrix(layers.map(({ moments }) => moments.a))!, columns, signal);
  const mean = meanMatrix(layers.map(({ moments }) => moments.b));
  const b = mean && (await squareRoot(mean, rows, signal)).root;
  const count = layers.length;
  const size = rows * columns;
  const stack = new Float64Array(count * size);
  for (const [index, { weight }] of layers.entries()) {
    const right = await matmul({ a: weight, rows, inner: columns, b: a.root, columns, signal });
    stack.set(b ? await matmul({ a: b, rows, inner: rows, b: right, columns, signal }) : right, index * size);
  }
  return matmul({ a: stack, rows: count, inner: size, b: stack, columns: count, transposeB: true, signal });
};

/**
 * Matrix PCA across layers (MASA, 2508.04581): atoms are the leading directions of the layers' weights in the mean
 * curvature metric, D_s = Σ_l v_ls W_l / √λ_s, and W_l ≈ Σ_s √λ_s v_ls D_s; what is left is whitened low rank.
 */
export const sharedAtoms: SharingMethod = {
  name: 'atoms',
  summary: 'matrices that all layers mix by their own coefficients, with private low-rank rests (MASA)',
  options: async (input, options) => {
    const { layers } = input;
    const count = layers.length;
    const { values, vectors } = await eigenSymmetric(await gramOfLayers(input), count, { signal: input.signal });
    const shareOf = (atoms: number): AtomShare => {
      const leading = Array.from({ length: atoms }, (_, index) => count - 1 - index).filter((at) => values[at]! > 0);
      return {
        label: `${leading.length} atoms`,
        atoms: leading.map((at) => {
          const atom = new Float64Array(layers[0]!.weight.length);
          layers.forEach(({ weight }, layer) => {
            const factor = vectors[layer * count + at]! / Math.sqrt(values[at]!);
            for (let index = 0; index < atom.length; index++) atom[index]! += factor * weight[index]!;
          });
          return atom;
        }),
        coefficients: layers.map((_, layer) =>
          leading.map((at) => vectors[layer * count + at]! * Math.sqrt(values[at]!)),
        ),
      };
    };
    const wanted =
      options.atoms === undefined
        ? Array.from({ length: Math.max(1, count >> 1) }, (_, index) => index + 1)
        : [options.atoms];
    const found: SharingOption[] = [];
    for (const atoms of wanted) found.push(...(await withResiduals(shareOf(Math.min(atoms, count)), input, options)));
    return found;
  },
};
