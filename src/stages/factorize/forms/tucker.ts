import { decomposeTucker, expandTucker } from '../methods/tucker.ts';
import { writeTucker } from '../write/tucker.ts';
import { convolutionInput, costOf, type FactorForm, type FormOption, isSpatial, lossMeter } from './form.ts';

/** Shares of the rows and of the channels whose ranks are offered. */
const shares = [1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4] as const;

/** Distinct ranks of a dimension that are multiples of a number. */
const ranksOf = (size: number, multiple: number): number[] => {
  const ranks = shares.map((part) => Math.max(multiple, Math.round((part * size) / multiple) * multiple));
  return [...new Set(ranks)].filter((rank) => rank < size);
};

/** Tucker-2: a convolution as three, channels first, then the filter, then the outputs. */
export const tuckerForm: FactorForm = {
  summary: 'convolutions as three: channels, filter, outputs (Tucker-2)',
  fits: isSpatial,
  options: async (request) => {
    const { site, positionsPerItem, multiple } = request;
    const input = convolutionInput(request);
    const { rows, columns, channels } = input;
    const decomposition = await decomposeTucker(input);
    const lossOf = await lossMeter(request);
    const options: FormOption[] = [];
    for (const outer of ranksOf(rows, multiple))
      for (const inner of ranksOf(channels, multiple)) {
        const ranks = { rows: outer, channels: inner };
        const parameters = inner * channels + outer * inner * (columns / channels) + rows * outer;
        if (parameters >= rows * columns) continue;
        const factors = await decomposition.factors(ranks);
        options.push({
          kind: 'tucker',
          label: `Tucker ranks ${outer} × ${inner}`,
          cost: costOf(site, parameters, positionsPerItem),
          loss: await lossOf(await expandTucker(factors, ranks, input)),
          data: (target) => writeTucker(target, factors, ranks),
        });
      }
    return options;
  },
};
