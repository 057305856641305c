import { z } from 'zod';
import type { ChannelKind } from '../../analysis/channel-groups/groups.ts';
import { type RankingMethodName, rankingMethods } from './methods/index.ts';
import type { AllocationRule, RankingMethod } from './methods/method.ts';
import { type TransformMethodName, transformMethods } from './transforms/index.ts';

/** What a ratio counts. */
export type SliceMeasure = 'parameters' | 'block_parameters' | 'operations' | 'latency';

/** How the readers of what goes make up for it. */
export type Compensation = 'ridge' | 'bias' | 'none';

export interface SliceOptions {
  readonly method: RankingMethodName | TransformMethodName;
  /** Share of the measure that goes, from 0 to 1. */
  readonly ratio: number;
  readonly measure: SliceMeasure;
  readonly kinds: readonly ChannelKind[];
  /** Greatest share that may go of each group of a kind. */
  readonly most: Readonly<Record<ChannelKind, number>>;
  readonly multiple: number;
  readonly wholeBranches: boolean;
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
  readonly allocation: AllocationRule;
  readonly compensation: Compensation;
  readonly refit: boolean;
  /** λ of the refit as a share of the mean diagonal. */
  readonly refitRidge: number;
  /** Give the outputs of convolutions the means and variances that they had. */
  readonly recalibrate: boolean;
  /** Leave of the weights their signs and one magnitude a row. */
  readonly signs: boolean;
  readonly damp: number;
  readonly steps: number | 'auto';
  /** Options that are tried in turn: the one whose model loses least on the calibration data is taken; none: these alone. */
  readonly candidates: readonly SliceOptions[];
  /** Only calibration samples of these classes are looked at; undefined: all. */
  readonly classes: readonly number[] | undefined;
}

const kindNames = ['heads', 'neurons', 'channels', 'stream', 'states'] as const satisfies readonly ChannelKind[];
const usualKinds: readonly ChannelKind[] = ['heads', 'neurons', 'channels'];
const measureNames = [
  'parameters',
  'block_parameters',
  'operations',
  'latency',
] as const satisfies readonly SliceMeasure[];

const share = z.number().gt(0).lt(1);
const pattern = z.string().min(1).describe('Site or weight name, glob (*), re:expression, op:Conv or role:down.');
type MethodName = SliceOptions['method'];
const methods = { ...rankingMethods, ...transformMethods } as const;
const methodNames = Object.keys(methods) as [MethodName, ...MethodName[]];

/** What a method does, in a few words. */
export const summaryOf = (name: MethodName): string => methods[name].summary;

/** The ranking of a method; undefined for transforms. */
export const rankingOf = (name: MethodName): RankingMethod | undefined =>
  Object.hasOwn(rankingMethods, name) ? rankingMethods[name as RankingMethodName] : undefined;

/** Whether a ranking looks at calibration data. */
export const looksAtData = ({ needs }: RankingMethod): boolean => needs !== 'nothing' && needs !== 'flow';

const ratioInput = z
  .union([
    share.describe('Share of the parameters of blocks that goes.'),
    z
      .strictObject({
        parameters: share.optional().describe('Share of all parameters.'),
        block_parameters: share.optional().describe('Share of the weights of blocks, without embedding and head.'),
        operations: share.optional().describe('Share of the multiplications of weights.'),
        latency: share
          .optional()
          .describe('Share of the time of a run on this machine, found by timing cuts; not reproducible.'),
      })
      .refine((given) => Object.keys(given).length === 1, { message: 'give exactly one measure' }),
  ])
  .describe('How much goes: a share from 0 to 1 of block parameters, or of another measure.');

const sliceInput = z
  .strictObject({
    ratio: ratioInput,
    method: z
      .enum(methodNames)
      .optional()
      .describe(
        `How it is decided what goes (default obs): ${Object.entries(methods)
          .map(([name, { summary }]) => `${name}: ${summary}`)
          .join('; ')}.`,
      ),
    candidates: z
      .array(z.enum(methodNames))
      .min(1)
      .optional()
      .describe(
        'Methods that are tried beside the first, each with recalibrated convolutions: what loses least on the calibration data is taken.',
      ),
    kinds: z
      .array(z.enum(kindNames))
      .min(1)
      .optional()
      .describe(
        'What may go: heads (with what shares their keys), neurons, channels of convolutions (these by default), stream (residual streams), states of recurrent layers.',
      ),
    most: z
      .partialRecord(z.enum(kindNames), z.number().gt(0).max(1))
      .optional()
      .describe('Greatest share that may go of any group of a kind (default 1).'),
    multiple: z.int().min(1).max(1024).optional().describe('What stays of a group is a multiple of this (default 1).'),
    whole_branches: z
      .boolean()
      .optional()
      .describe('A branch that writes to a residual stream may go as a whole (default true).'),
    targets: z.array(pattern).optional().describe('Sites whose channels may go (default all).'),
    ignore: z.array(pattern).optional().describe('Sites whose channels stay.'),
    allocation: z
      .enum(['exact', 'nested', 'uniform', 'standardised'])
      .optional()
      .describe(
        'How removals are shared: exact (least predicted loss in all), nested (along one order, so that smaller models are parts of larger ones), uniform (the same share everywhere), standardised (one threshold on scores standardised in each group). Default: what suits the method.',
      ),
    compensation: z
      .enum(['ridge', 'bias', 'none'])
      .optional()
      .describe(
        'How readers make up for what goes: ridge (least squares on the calibration data, default), bias (by the mean alone), none.',
      ),
    refit: z
      .boolean()
      .optional()
      .describe('Afterwards correct what writes to residual streams against the model before (default true).'),
    refit_ridge: z
      .number()
      .gt(0)
      .max(10)
      .optional()
      .describe('Ridge of the refit as a share of the mean diagonal (default 0.01).'),
    recalibrate: z
      .boolean()
      .optional()
      .describe(
        'Afterwards give the outputs of convolutions the means and variances that they had, as re-estimated batch normalisation would (default: where data are looked at and readers do not make up for what goes by least squares).',
      ),
    signs: z
      .boolean()
      .optional()
      .describe(
        'Leave of every weight its sign and one magnitude a row, for models that are yet to be trained (default false). Two bits a weight hold that exactly: quantize with `{ bits: 2, symmetric: narrow, group_size: row }`.',
      ),
    damp: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe('Share of the mean diagonal of A added to its diagonal (default 0.01).'),
    steps: z
      .union([z.int().min(1).max(64), z.literal('auto')])
      .optional()
      .describe('Removals in this many steps, with statistics taken again before each (default auto: one per 15 %).'),
    classes: z
      .array(z.int().min(0))
      .min(1)
      .optional()
      .describe('Look only at calibration samples of these classes: a model for a part of the classes.'),
  })
  .describe('Remove channels: heads, neurons, channels of convolutions, whole branches.');

const normalise = (input: z.output<typeof sliceInput>): SliceOptions => {
  const method = input.method ?? 'obs';
  const { ratio } = input;
  const measure =
    typeof ratio === 'number' ? 'block_parameters' : measureNames.find((name) => ratio[name] !== undefined)!;
  const ranking = rankingOf(method);
  const needsData = ranking === undefined || looksAtData(ranking);
  return {
    method,
    ratio: typeof ratio === 'number' ? ratio : ratio[measure]!,
    measure,
    kinds: input.kinds ?? usualKinds,
    most: { heads: 1, neurons: 1, channels: 1, stream: 1, states: 1, ...input.most },
    multiple: input.multiple ?? 1,
    wholeBranches: input.whole_branches ?? true,
    targets: input.targets ?? ['*'],
    ignore: input.ignore ?? [],
    allocation: input.allocation ?? ranking?.allocation ?? 'exact',
    compensation: input.compensation ?? (needsData ? 'ridge' : 'none'),
    refit: input.refit ?? needsData,
    refitRidge: input.refit_ridge ?? 0.01,
    recalibrate: input.recalibrate ?? (needsData && (input.compensation ?? 'ridge') !== 'ridge'),
    signs: input.signs ?? false,
    damp: input.damp ?? 0.01,
    steps: input.steps ?? 'auto',
    candidates: input.candidates
      ? [...new Set([method, ...input.candidates])].map((name) =>
          normalise({ ...input, method: name, recalibrate: true, candidates: undefined }),
        )
      : [],
    classes: input.classes,
  };
};

/** Strict options of the stage with every default filled in. */
export const sliceOptions = sliceInput.transform(normalise);
