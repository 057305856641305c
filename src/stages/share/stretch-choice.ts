import {
  addCosts,
  type CompressionChoice,
  type CompressionOption,
  joinChoices,
  noCost,
  type OptionCost,
  sumCosts,
} from '../../curvature/options.ts';
import { internalError } from '../../errors.ts';
import type { Moments } from '../factorize/site-moments.ts';
import { choiceOfGroup, type ShareChoice } from './group-choice.ts';
import type { ShareGroup } from './groups.ts';
import type { SharedWeights } from './methods/method.ts';
import type { ShareOptions } from './options.ts';
import { type LayerRun, partitionFront } from './partition.ts';
import type { Stretch, StretchRun } from './stretches.ts';

/** A way of sharing that was chosen for a group; its weights are made when it is carried out. */
export interface SharePick {
  readonly group: ShareGroup;
  readonly label: string;
  readonly loss: number;
}

type StretchChoice = CompressionOption<readonly SharePick[]>;

type ChoiceContext = {
  readonly moments: Pick<Moments, 'of' | 'positionsPerItem'>;
  readonly options: Pick<ShareOptions, 'method' | 'atoms' | 'residual' | 'ownFactors'>;
  readonly signal: AbortSignal;
};

/** What the method offers to layers that share; a layer alone may have two factors of its own. */
const offeredTo = (group: ShareGroup, { moments, options, signal }: ChoiceContext): Promise<ShareChoice> =>
  choiceOfGroup(group, moments, group.sites.length > 1 ? options : { ...options, method: 'basis' }, signal);

interface Offer {
  /** What the layers cost as they are. */
  readonly dense: OptionCost;
  readonly options: readonly StretchChoice[];
}

/** Options of one group without the weights, which are large. */
const offerOf = async (group: ShareGroup, context: ChoiceContext): Promise<Offer> => {
  const alone = group.sites.length === 1;
  const { options } = await offeredTo(group, context);
  const [whole, ...shared] = options;
  const made = shared.map(
    ({ label, cost, loss }): StretchChoice => ({
      kind: alone ? 'low-rank' : 'sharing',
      label,
      cost,
      loss,
      data: [{ group, label, loss }],
    }),
  );
  const { cost: dense } = whole!;
  if (!alone) return { dense, options: made };
  const kept: StretchChoice = { kind: 'dense', label: 'not shared', cost: dense, loss: 0, data: [] };
  return { dense, options: context.options.ownFactors ? [kept, ...made] : [kept] };
};

/** Options of a run: of its only group, or of all of its groups at once. */
const offerOfRun = async ({ groups }: StretchRun, context: ChoiceContext): Promise<Offer> => {
  const offers: Offer[] = [];
  for (const group of groups) offers.push(await offerOf(group, context));
  if (offers.length === 1) return offers[0]!;
  const dense = sumCosts(offers.map((offer) => offer.dense));
  if (offers.some(({ options }) => options.length === 0)) return { dense, options: [] };
  const choices = offers.map(({ options }, index) => ({ name: groups[index]!.name, sites: [], options }));
  const { options } = joinChoices('', choices, 'parameters');
  return { dense, options: options.map(({ data, ...option }) => ({ ...option, data: data.flat() })) };
};

/** What a stretch costs and loses in every way of cutting it into runs that share; the first option leaves it as it is. */
export const choiceOfStretch = async (
  { name, count, runs }: Stretch,
  context: ChoiceContext,
): Promise<CompressionChoice<readonly SharePick[]>> => {
  const made: LayerRun<readonly SharePick[]>[] = [];
  let dense = noCost;
  const sites: string[] = [];
  for (const run of runs) {
    const offer = await offerOfRun(run, context);
    made.push({ first: run.first, end: run.end, options: offer.options });
    if (run.end > run.first + 1) continue;
    dense = addCosts(dense, offer.dense);
    sites.push(...run.groups.flatMap((group) => group.sites.map((site) => site.name)));
  }
  const cuts = partitionFront(count, made, 'parameters').filter(({ cost }) => cost.parameters < dense.parameters);
  return {
    name,
    sites,
    options: [
      { kind: 'dense', label: 'not shared', cost: dense, loss: 0, data: [] },
      ...cuts.map(({ data, ...option }): StretchChoice => ({ ...option, data: data.flat() })),
    ],
  };
};

/** The weights of a choice, made again from the group's. */
export const weightsOf = async ({ group, label }: SharePick, context: ChoiceContext): Promise<SharedWeights> => {
  const { options } = await offeredTo(group, context);
  const chosen = options.find((option) => option.label === label)?.data;
  if (!chosen) throw internalError(`${group.name} has no option ${label} any more`);
  return chosen.weights();
};
