import { measureCost } from '../../analysis/cost.ts';
import { readSiteMatrix, siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import { allocateOptions, type CompressionChoice, type OptionAllocation, sumCosts } from '../../curvature/options.ts';
import type { FactoredWeight } from '../../curvature/refit-factors.ts';
import { CompressError, internalError } from '../../errors.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { bitsOf } from '../../ir/data-type.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { twoSidedSvd } from '../factorize/methods/two-sided-svd.ts';
import { type Moments, momentsOf } from '../factorize/site-moments.ts';
import { refit } from '../refit.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { runCache } from './cache/run.ts';
import { expandLayers } from './expand.ts';
import { findShareLanes } from './groups.ts';
import type { SharedWeights } from './methods/method.ts';
import { missing } from './methods/residual.ts';
import type { ShareOptions } from './options.ts';
import { foldedElements, shareSites } from './share-sites.ts';
import { stitchModels } from './stitch.ts';
import { choiceOfStretch, type SharePick, weightsOf } from './stretch-choice.ts';
import { stretchesOf } from './stretches.ts';

interface Outcome {
  readonly before: Model;
  readonly after: Model;
  readonly choices: readonly CompressionChoice<readonly SharePick[]>[];
  readonly allocation: OptionAllocation<readonly SharePick[]>;
  /** Bytes that a runtime holds beyond those that are stored. */
  readonly foldedBytes: number;
}

/** The ratio is of the weights that have partners; what can share with no other layer is not counted. */
const findingsOf = ({ before, after, choices, allocation, foldedBytes }: Outcome): Finding[] => {
  const { picks, cost, loss } = allocation;
  const dense = sumCosts(choices.map(({ options }) => options[0]!.cost));
  const groups = picks.flatMap(({ data }) => data.map(({ group }) => group.sites.length));
  const shared = groups.filter((layers) => layers > 1);
  const percent = (a: number, b: number): string => `${((100 * a) / Math.max(1, b)).toPrecision(3)} %`;
  const [bytesBefore, bytesAfter] = [before, after].map(({ program }) => measureCost(program).storedBytes);
  return [
    {
      kind: 'fact',
      text: `${shared.reduce((sum, layers) => sum + layers, 0)} weights share in ${shared.length} groups, ${groups.length - shared.length} have two factors of their own: ${percent(cost.parameters, dense.parameters)} of the stored parameters, ${percent(cost.operations, dense.operations)} of the operations, predicted loss ${loss.toPrecision(3)} nats an item`,
      facts: {
        shared_groups: shared.length,
        private_weights: groups.length - shared.length,
        parameters_before: dense.parameters,
        parameters_after: cost.parameters,
        operations_before: dense.operations,
        operations_after: cost.operations,
        predicted_loss: loss,
      },
    },
    {
      kind: 'fact',
      text: `constants take ${bytesAfter} bytes on disk instead of ${bytesBefore}, and ${bytesAfter! + foldedBytes} in the memory of runtimes that fold constants: these hold the mixed weights of every layer`,
      facts: { bytes_before: bytesBefore!, bytes_after: bytesAfter!, memory_bytes_after: bytesAfter! + foldedBytes },
    },
  ];
};

interface MadePick {
  readonly pick: SharePick;
  /** Weights as they were. */
  readonly sources: readonly { readonly site: Site; readonly weight: Float64Array }[];
  readonly weights: SharedWeights;
}

/** Shares the weights of a group; gives what a refit may make anew of them, by what it computes. */
const carryOut = (
  { pick, sources, weights }: MadePick,
  moments: Moments,
  signal: AbortSignal,
): [string, FactoredWeight][] => {
  const { sites } = pick.group;
  const pairOf = (layer: number, weight: Float64Array): FactoredWeight => {
    const { rows, columns } = sites[layer]!;
    const { b } = moments.of(sites[layer]!);
    return {
      rows,
      columns,
      weight: () => Float64Array.from(weight),
      factors: async (corrected, a, rank) =>
        (await twoSidedSvd.decompose({ weight: corrected, rows, columns, a, b, signal })).factors(rank),
    };
  };
  const products = shareSites(sites, weights);
  if (weights.kind === 'basis')
    return sites.length === 1 ? [[sites[0]!.output.name, pairOf(0, sources[0]!.weight)]] : [];
  return products.map(({ layer, output, sum }) => [
    output.name,
    { ...pairOf(layer, missing(sources[layer]!.weight, weights.atoms, weights.coefficients[layer]!)), compared: sum },
  ]);
};

/**
 * Layers that read the same weights: weights that do the same in different blocks share a basis, atoms or one weight,
 * under one ratio of stored parameters that the predicted losses of all groups compete for; then what writes to the
 * residual stream and is private is corrected against the original.
 * With `depth` the layers are made anew of what is shared, see `expandLayers`; with `stitch` see `stitchModels`,
 * with `cache` see `runCache`.
 * @throws 'mismatch' when nothing can be shared or the ratio cannot be met; as `curvatureOf` and `refitProgram`.
 */
export const runShare = async (model: Model, options: ShareOptions, context: StageContext): Promise<StageResult> => {
  if (options.cache) return runCache(model, options.cache, context);
  if (options.stitch) return stitchModels(model, options.stitch, context);
  if (options.depth !== undefined) return expandLayers(model, options, options.depth);
  const { calibration, emit, signal } = context;
  if (!calibration) throw internalError('the share stage was started without calibration data');
  const program = cloneProgram(model.program);
  const { lanes, kept, findings } = findShareLanes(program, options);
  if (lanes.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: 'no layers can share weights',
      hint: [...new Set(kept.values())].slice(0, 3).join('; ') || 'The model has no weight products.',
    });
  const sites = lanes.flatMap((lane): readonly Site[] => lane.sites);
  const moments = await momentsOf(program, sites, context);
  const stretches = stretchesOf(lanes, options);
  const choosing = { moments, options, signal };
  const choices: CompressionChoice<readonly SharePick[]>[] = [];
  for (const stretch of stretches) {
    checkSignal(signal);
    choices.push(await choiceOfStretch(stretch, choosing));
    const [done, total] = [choices.length, stretches.length];
    emit({ type: 'progress', task: 'sharing', done, total, unit: 'groups', item: stretch.name });
  }
  const dense = sumCosts(choices.map((choice) => choice.options[0]!.cost));
  const most = Math.floor(options.share * dense.parameters);
  const allocation = allocateOptions(choices, { kind: 'cost', measure: 'parameters', most });
  // Weights are made before any site is changed: they are read from the program.
  const made: MadePick[] = [];
  for (const pick of allocation.picks.flatMap(({ data }) => data)) {
    const sources = pick.group.sites.map((site) => ({ site, weight: Float64Array.from(readSiteMatrix(site)) }));
    made.push({ pick, sources, weights: await weightsOf(pick, choosing) });
  }
  const factored = new Map<string, FactoredWeight>();
  let foldedBytes = 0;
  for (const one of made) {
    const { group, label, loss } = one.pick;
    foldedBytes += foldedElements(group.sites, one.weights) * (bitsOf(siteTensor(group.sites[0]!).dtype) / 8);
    for (const [name, weight] of carryOut(one, moments, signal)) factored.set(name, weight);
    emit({ type: 'site-finished', stage: 'share', site: group.name, facts: { chosen: label, predicted_loss: loss } });
  }
  inferShapes(program);
  const original = model.program;
  const corrected = options.refit ? await refit({ ...options.refit, program, original, factored }, context) : [];
  const shared = { ...model, program };
  const outcome: Outcome = { before: model, after: shared, choices, allocation, foldedBytes };
  return { model: shared, findings: [...findings, ...moments.findings, ...findingsOf(outcome), ...corrected] };
};
