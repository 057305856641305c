import { type CompressionChoice, optionFront } from '../../../curvature/options.ts';
import type { Decomposition } from '../../factorize/methods/method.ts';
import { twoSidedSvd } from '../../factorize/methods/two-sided-svd.ts';
import { lossesByRank } from '../../factorize/predict.ts';
import type { PrivateFactors, SharingInput, SharingMethodOptions, SharingOption } from './method.ts';

export interface AtomShare {
  readonly label: string;
  /** Shared matrices, each (rows, columns). */
  readonly atoms: readonly Float64Array[];
  /** One a layer: as many numbers as atoms. */
  readonly coefficients: readonly (readonly number[])[];
}

/** What a layer lacks of its weight. */
export const missing = (
  weight: Float64Array,
  atoms: AtomShare['atoms'],
  coefficients: readonly number[],
): Float64Array => {
  const rest = Float64Array.from(weight);
  atoms.forEach((atom, number) => {
    const factor = coefficients[number]!;
    for (let index = 0; index < rest.length; index++) rest[index]! -= factor * atom[index]!;
  });
  return rest;
};

/**
 * Options of layers that share atoms: the ranks of private low-rank products that make up for the rest, decomposed in
 * the metric of each layer (whitened residuals of MASA, relaxations of Recursive Transformers), along their front.
 */
export const withResiduals = async (
  { label, atoms, coefficients }: AtomShare,
  input: SharingInput,
  { residual }: SharingMethodOptions,
): Promise<SharingOption[]> => {
  const { layers, rows, columns, signal } = input;
  const decompositions: Decomposition[] = [];
  const choices: CompressionChoice<number>[] = [];
  for (const [index, { weight, moments }] of layers.entries()) {
    const { a, b, scale } = moments;
    const rest = missing(weight, atoms, coefficients[index]!);
    const decomposition = await twoSidedSvd.decompose({ weight: rest, rows, columns, a, b, signal });
    const unit = scale === 'relative' ? 1 : scale;
    const losses = await lossesByRank({ decomposition, rows, columns, a, b, scale: unit, signal });
    decompositions.push(decomposition);
    const most = residual ? decomposition.fullRank : 0;
    choices.push({
      name: String(index),
      sites: [],
      options: Array.from({ length: most + 1 }, (_, rank) => {
        const parameters = rank * (rows + columns);
        const cost = { bytes: 0, parameters, operations: parameters };
        return { kind: 'residual', label: String(rank), cost, loss: losses[rank]!, data: rank };
      }),
    });
  }
  const shared = atoms.length * rows * columns + (atoms.length > 1 ? atoms.length * layers.length : 0);
  const factorsOf = (layer: number, rank: number): PrivateFactors | undefined =>
    rank === 0 ? undefined : { ...decompositions[layer]!.factors(rank), rank };
  return optionFront(choices, 'parameters').map(({ picks, cost, loss }): SharingOption => {
    const ranks = picks.map(({ data }) => data);
    return {
      label: ranks.some((rank) => rank > 0) ? `${label}, private ranks ${ranks.join(' ')}` : label,
      parameters: shared + cost.parameters,
      operations: layers.length * rows * columns + cost.operations,
      loss,
      weights: () =>
        Promise.resolve({
          kind: 'atoms',
          atoms,
          coefficients,
          residuals: ranks.map((rank, layer) => factorsOf(layer, rank)),
        }),
    };
  });
};
