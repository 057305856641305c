import { findSites, type Site } from '../../../analysis/sites.ts';
import { type NumericArray, takeSamples } from '../../../calibration/dataset.ts';
import { allocateOptions, type CompressionChoice } from '../../../curvature/options.ts';
import { internalError } from '../../../errors.ts';
import { floatsOfArray } from '../../../execution/arrays.ts';
import { observeProgram } from '../../../execution/observe.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import type { Program } from '../../../ir/graph.ts';
import { inferShapes } from '../../../ir/inference/index.ts';
import type { Model } from '../../../ir/model.ts';
import { matmul } from '../../../kernels/index.ts';
import type { Finding } from '../../../recipe/events.ts';
import { type Moments, momentsOf } from '../../factorize/site-moments.ts';
import type { StageContext, StageResult } from '../../stage.ts';
import { cacheGroups, findCaches, type LayerCache, widthOf } from './find-caches.ts';
import { measureCache } from './measure.ts';
import { shareCache } from './share-cache.ts';
import { type CacheSubspace, cacheSubspace } from './subspace.ts';

/** How keys and values are kept. */
export interface CacheOptions {
  /** Neighbouring layers that keep one list of numbers between them. */
  readonly group: number;
  /** Share of the bytes of a position that goes. */
  readonly ratio: number;
}

/** Keys or values of the layers of a group side by side: (rows, width), one row a position. */
const sideBySide = (
  group: readonly LayerCache[],
  arrays: readonly NumericArray[],
): { readonly data: Float64Array; readonly rows: number } => {
  const width = group.reduce((sum, cache) => sum + widthOf(cache), 0);
  const [batch = 1, , length = 0] = arrays[0]!.shape;
  const data = new Float64Array(batch * length * width);
  let first = 0;
  for (const [index, cache] of group.entries()) {
    const { heads, headSize } = cache;
    const values = floatsOfArray(arrays[index]!);
    for (let at = 0; at < values.length; at++) {
      const channel = at % headSize;
      const position = Math.floor(at / headSize) % length;
      const head = Math.floor(at / (headSize * length)) % heads;
      const row = Math.floor(at / (headSize * length * heads)) * length + position;
      data[row * width + first + head * headSize + channel] = values[at]!;
    }
    first += widthOf(cache);
  }
  return { data, rows: batch * length };
};

/** E[x xᵀ] of every group, in one pass. */
const collectMoments = async (
  program: Program,
  groups: readonly (readonly LayerCache[])[],
  context: StageContext,
): Promise<Float64Array[]> => {
  const { calibration, engine, scratch, emit, signal } = context;
  const widths = groups.map((group) => group.reduce((sum, cache) => sum + widthOf(cache), 0));
  const sums = widths.map((width) => new Float64Array(width ** 2));
  const counts = groups.map(() => 0);
  const seen = groups.map((): Map<LayerCache, NumericArray> => new Map());
  const observations = groups.flatMap((group, index) =>
    group.map((cache) => ({
      value: cache.fresh,
      observer: {
        observe: async (array: NumericArray) => {
          const own = seen[index]!.set(cache, array);
          if (own.size < group.length) return;
          const { data, rows } = sideBySide(
            group,
            group.map((one) => own.get(one)!),
          );
          own.clear();
          const width = widths[index]!;
          const product = await matmul({
            a: data,
            rows: width,
            inner: rows,
            b: data,
            columns: width,
            transposeA: true,
            signal,
          });
          for (let at = 0; at < product.length; at++) sums[index]![at]! += product[at]!;
          counts[index]! += rows;
        },
      },
    })),
  );
  await observeProgram({
    program,
    dataset: calibration!,
    engine,
    observations,
    task: 'keys and values',
    scratch,
    emit,
    signal,
  });
  return sums.map((sum, index) => sum.map((value) => value / Math.max(1, counts[index]!)));
};

/** The product that computes the keys or values of a layer. */
const siteOf = (sites: readonly Site[], { layer, kind }: LayerCache): Site | undefined =>
  sites.find(({ block, role }) => block === layer && role === (kind === 'key' ? 'k' : 'v'));

/**
 * What an error of the keys or values costs: the second moments of the loss' gradients, block by block. Keys are turned
 * by their positions after the product whose gradients are known: of theirs the mean over all directions is taken.
 * Where no gradients are known errors count by the size of what they are errors of.
 */
const metricOf = (
  group: readonly LayerCache[],
  moment: Float64Array,
  sites: readonly Site[],
  moments: Moments | undefined,
): Float64Array => {
  const width = group.reduce((sum, cache) => sum + widthOf(cache), 0);
  const metric = new Float64Array(width ** 2);
  let first = 0;
  for (const cache of group) {
    const own = widthOf(cache);
    const site = siteOf(sites, cache);
    const known = site && moments?.of(site);
    const b = known?.b?.length === own ** 2 && known.scale !== 'relative' ? known.b : undefined;
    const unit = known && known.scale !== 'relative' ? known.scale : 1;
    let [trace, energy] = [0, 0];
    for (let i = 0; i < own; i++) {
      trace += b?.[i * own + i] ?? 0;
      energy += moment[(first + i) * width + first + i]!;
    }
    const even = b ? (unit * trace) / own : 1 / Math.max(energy, Number.MIN_VALUE * 2 ** 60);
    for (let i = 0; i < own; i++)
      for (let j = 0; j < own; j++)
        metric[(first + i) * width + first + j] =
          b && cache.kind === 'value' ? unit * b[i * own + j]! : i === j ? even : 0;
    first += own;
  }
  return metric;
};

interface CachePick {
  readonly group: readonly LayerCache[];
  readonly subspace: CacheSubspace;
  readonly rank: number;
}

const bytesPerNumber = 4;

const choiceOf = (group: readonly LayerCache[], subspace: CacheSubspace): CompressionChoice<CachePick | undefined> => {
  const width = group.reduce((sum, cache) => sum + widthOf(cache), 0);
  const name = `${group[0]!.kind}s of layers ${group.map(({ layer }) => layer).join(', ')}`;
  const cost = (rank: number) => ({ bytes: bytesPerNumber * rank, parameters: rank, operations: rank });
  return {
    name,
    sites: [],
    options: [
      { kind: 'dense', label: 'each its own', cost: cost(width), loss: 0, data: undefined },
      ...Array.from({ length: width - 1 }, (_, index) => ({
        kind: 'sharing',
        label: `${index + 1} of ${width} numbers`,
        cost: cost(index + 1),
        loss: subspace.losses[index + 1]!,
        data: { group, subspace, rank: index + 1 },
      })),
    ],
  };
};

/** Samples that decoding is measured on. */
const measuredSamples = 16;

/**
 * Keys and values of neighbouring layers kept in one subspace (after xKV, 2503.18893): ranks of all groups compete for
 * the bytes of a position, and decoding with the smaller cache is measured against the model as it was.
 * @throws 'unsupported' as `findCaches`; 'mismatch' when the ratio cannot be met
 */
export const runCache = async (model: Model, options: CacheOptions, context: StageContext): Promise<StageResult> => {
  const { calibration, signal, emit } = context;
  if (!calibration) throw internalError('the share stage was started without calibration data');
  const program = cloneProgram(model.program);
  inferShapes(program);
  const caches = findCaches(program);
  const groups = cacheGroups(caches, options.group);
  const collected = await collectMoments(program, groups, context);
  const sites = findSites(program).filter(({ role }) => role === 'k' || role === 'v');
  const moments = sites.length > 0 ? await momentsOf(program, sites, context) : undefined;
  const choices: CompressionChoice<CachePick | undefined>[] = [];
  for (const [index, group] of groups.entries()) {
    const moment = collected[index]!;
    const metric = metricOf(group, moment, sites, moments);
    const width = Math.sqrt(moment.length);
    choices.push(choiceOf(group, await cacheSubspace(moment, metric, width, signal)));
  }
  const before = choices.reduce((sum, choice) => sum + choice.options[0]!.cost.bytes, 0);
  const most = Math.floor((1 - options.ratio) * before);
  const { picks, cost, loss } = allocateOptions(choices, { kind: 'cost', measure: 'bytes', most });
  for (const [index, { data, label, loss: own }] of picks.entries()) {
    if (data) shareCache(program, { ...data, ...data.subspace.factors(data.rank) });
    const facts = { chosen: label, predicted_loss: own };
    emit({ type: 'site-finished', stage: 'share', site: choices[index]!.name, facts });
  }
  inferShapes(program);
  const measured = await measureCache(program, model.program, takeSamples(calibration, measuredSamples), context);
  const findings: Finding[] = [
    ...(moments?.findings ?? []),
    {
      kind: 'fact',
      text: `a position takes ${cost.bytes} bytes of keys and values instead of ${before}; decoding loses ${measured.toPrecision(3)} nats a token (predicted ${loss.toPrecision(3)})`,
      facts: { bytes_before: before, bytes_after: cost.bytes, measured_loss: measured, predicted_loss: loss },
    },
    {
      kind: 'fact',
      text: 'caches are named past_key_values.FIRST-LAST.key and .value, (batch, positions, numbers): feed every present back as the past of its name',
    },
  ];
  return { model: { ...model, program }, findings };
};
