import { readSiteMatrix, siteTensor } from '../../analysis/site-weights.ts';
import type { CompressionChoice, CompressionOption } from '../../curvature/options.ts';
import { bitsOf } from '../../ir/data-type.ts';
import type { Moments } from '../factorize/site-moments.ts';
import type { ShareGroup } from './groups.ts';
import { sharingMethods } from './methods/index.ts';
import type { SharingOption } from './methods/method.ts';
import type { ShareOptions } from './options.ts';

/** Ways of a group to share; undefined: to stay as it is. */
export type ShareChoice = CompressionChoice<SharingOption | undefined>;

/** What a group costs and loses as it is (first), and in every way of sharing of a method that stores less. */
export const choiceOfGroup = async (
  { name, sites }: ShareGroup,
  moments: Pick<Moments, 'of' | 'positionsPerItem'>,
  options: Pick<ShareOptions, 'method' | 'atoms' | 'residual'>,
  signal: AbortSignal,
): Promise<ShareChoice> => {
  const [first] = sites;
  const { rows, columns } = first!;
  const perItem = moments.positionsPerItem(first!);
  const width = bitsOf(siteTensor(first!).dtype) / 8;
  const whole = sites.length * rows * columns;
  const found = await sharingMethods[options.method].options(
    {
      layers: sites.map((site) => ({ weight: Float64Array.from(readSiteMatrix(site)), moments: moments.of(site) })),
      rows,
      columns,
      signal,
    },
    { atoms: options.atoms, residual: options.residual },
  );
  const dense: CompressionOption<undefined> = {
    kind: 'dense',
    label: 'not shared',
    cost: { bytes: whole * width, parameters: whole, operations: whole * perItem },
    loss: 0,
    data: undefined,
  };
  const shared = found
    .filter(({ parameters }) => parameters < whole)
    .map(
      (option): CompressionOption<SharingOption> => ({
        kind: 'sharing',
        label: option.label,
        cost: {
          bytes: option.parameters * width,
          parameters: option.parameters,
          operations: option.operations * perItem,
        },
        loss: option.loss,
        data: option,
      }),
    );
  return { name, sites: sites.map((site) => site.name), options: [dense, ...shared] };
};
