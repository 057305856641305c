import { canonicalFactors, expandCanonical } from '../methods/canonical.ts';
import { writeCanonical } from '../write/canonical.ts';
import { convolutionInput, costOf, type FactorForm, type FormOption, isSpatial, lossMeter } from './form.ts';

/** Shares of the weight's elements that the numbers of terms offered come to. */
const shares = [0.15, 0.3, 0.5] as const;

/** Canonical: a convolution as three, of which the middle one looks at each channel by itself. */
export const canonicalForm: FactorForm = {
  summary: 'convolutions as three: channels, a filter for each of them, outputs (CP)',
  fits: isSpatial,
  options: async (request) => {
    const { site, positionsPerItem, multiple } = request;
    const input = convolutionInput(request);
    const { rows, columns, channels } = input;
    const each = rows + channels + columns / channels;
    const lossOf = await lossMeter(request);
    const terms = shares.map((share) =>
      Math.max(multiple, Math.floor((share * rows * columns) / each / multiple) * multiple),
    );
    const options: FormOption[] = [];
    for (const rank of new Set(terms)) {
      if (rank * each >= rows * columns) continue;
      const factors = await canonicalFactors(input, rank);
      options.push({
        kind: 'canonical',
        label: `${rank} canonical terms`,
        cost: costOf(site, rank * each, positionsPerItem),
        loss: await lossOf(expandCanonical(factors, rank)),
        data: (target) => writeCanonical(target, factors, rank),
      });
    }
    return options;
  },
};
