import type { Site } from '../analysis/sites.ts';
import type { Dataset, NumericArray, Sample } from '../calibration/dataset.ts';
import { gramObstacle, siteGrams } from '../calibration/statistics/gram.ts';
import { CompressError } from '../errors.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { bindingOf, bindSample } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import { feedObservers, groupByValue, type Observation } from '../execution/observe.ts';
import { type Engine, type Feeds, withSession } from '../execution/session.ts';
import { evaluateDim } from '../ir/dimension.ts';
import type { Program } from '../ir/graph.ts';
import { elementCount } from '../ir/shape.ts';
import { GramAccumulator } from '../kernels/index.ts';
import { Random } from '../random.ts';
import type { Emit } from '../recipe/events.ts';
import { buildFisherProgram, type FisherProgram, type OutputKind } from './fisher.ts';
import { DiagonalSum, FullSum, type MomentSum } from './moment-sums.ts';
import { type Curvature, mostFullRows, type SiteCurvature } from './moments.ts';

export interface CollectOptions {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly engine: Engine;
  /** Labels are drawn with it. */
  readonly seed: number;
  /** Sites to collect; default all that can be. */
  readonly wanted?: (site: Site) => boolean;
  /** How the output is to be read; found from the graph by default. */
  readonly output?: OutputKind;
  readonly scratch?: { readonly directory: string };
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/**
 * Collects A and B of every site in one pass: a forward and a backward run a sample, without weight gradients; labels
 * sampled from the model with the seed; sums in double precision. The same bits for any thread count.
 * @throws 'data' for samples with carried state, CompressErrors for operators without a gradient rule.
 */
export const collectCurvature = async (options: CollectOptions): Promise<CollectedCurvature> => {
  const { program, dataset, engine, seed, emit, signal } = options;
  const wanted = (site: Site): boolean => !gramObstacle(site) && (options.wanted?.(site) ?? true);
  const fisher = buildFisherProgram(program, wanted, options.output);
  const inputs = siteGrams(fisher.sites);
  const gradients = gradientSums(fisher);
  const groups = groupByValue([...inputs.observations, ...gradients.observations]);
  const names = [...groups.keys()].map((value) => value.name);
  const binding = bindingOf(program);
  const symbols = symbolReader(program);
  let items = 0;
  const sessionOptions = { fetch: [...groups.keys()], signal, scratchDirectory: options.scratch?.directory };
  await withSession(engine, fisher.program, sessionOptions, async (session) => {
    for (let index = 0; index < dataset.length; index++) {
      checkSignal(signal);
      const sample = plainSample(await dataset.sample(index), dataset, index);
      const feeds = bindSample(sample, binding, `sample ${index} of ${dataset.description}`);
      const noise = drawNoise(fisher, symbols(feeds), new Random(seed, `labels of sample ${index}`));
      items += noise.data.length;
      const outputs = await session.run(new Map([...feeds, [fisher.noise.name, noise]]), names);
      await feedObservers(groups, new Map([...feeds, ...outputs]), index);
      emit({ type: 'progress', task: 'curvature', done: index + 1, total: dataset.length, unit: 'samples' });
    }
  });
  const shared = new Map<GramAccumulator, FullSum>();
  const sumOf = (gram: GramAccumulator): FullSum => {
    const sum = shared.get(gram) ?? new FullSum(gram);
    shared.set(gram, sum);
    return sum;
  };
  const sites = new Map<string, CollectedSite>();
  for (const site of fisher.sites) {
    const grams = inputs.gramsOf(site)!.map(sumOf);
    const { name, rows, columns } = site;
    const positions = grams[0]!.count;
    sites.set(name, { site: name, rows, columns, inputs: grams, gradients: gradients.sumOf(site), positions, items });
  }
  return { sites, samples: dataset.length };
};

type PlainSample = Exclude<Sample, { kind: 'sequence' }>;

const plainSample = (sample: Sample, dataset: Dataset, index: number): PlainSample => {
  if (sample.kind !== 'sequence') return sample;
  throw new CompressError({
    code: 'data',
    message: `sample ${index} of ${dataset.description} carries state from step to step, through which gradients are not taken`,
    hint: 'Use independent windows (arrays) to collect the curvature.',
  });
};

/** Values of the symbolic dimensions of a program's inputs, read from what it is fed with. */
const symbolReader = (program: Program): ((feeds: Feeds) => ReadonlyMap<string, number>) => {
  const { inputs } = program.graph;
  return (feeds) => {
    const symbols = new Map<string, number>();
    for (const value of inputs) {
      const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
      shape?.forEach((dim, axis) => {
        const length = feeds.get(value.name)?.shape[axis];
        if (typeof dim === 'string' && length !== undefined) symbols.set(dim, length);
      });
    }
    return symbols;
  };
};

const drawNoise = (fisher: FisherProgram, symbols: ReadonlyMap<string, number>, random: Random): NumericArray => {
  const shape = fisher.noiseShape.map((dim) => {
    const length = evaluateDim(dim, symbols);
    if (length !== null) return length;
    throw new CompressError({
      code: 'unsupported',
      message: `the output's dimension ${dim ?? '?'} does not follow from the model's inputs`,
      hint: 'Give the model inputs with named or fixed dimensions.',
    });
  });
  const draw = fisher.kind === 'gaussian' ? () => random.normal() : () => random.float();
  return { dtype: 'float32', shape, data: Float32Array.from({ length: elementCount(shape) }, draw) };
};

/** What was gathered in memory. */
export interface CollectedSite extends SiteCurvature {
  readonly inputs: readonly MomentSum[];
  readonly gradients: MomentSum | undefined;
}

/** A curvature in memory; sites with the same input share the objects of A. */
export interface CollectedCurvature extends Curvature {
  readonly sites: ReadonlyMap<string, CollectedSite>;
}

interface GradientSums {
  readonly observations: readonly Observation[];
  sumOf(site: Site): MomentSum | undefined;
}

/** Σ g gᵀ of the gradients at the sites' outputs; sites that write the same value share it. */
const gradientSums = (fisher: FisherProgram): GradientSums => {
  const byValue = new Map<string, MomentSum>();
  const observations: Observation[] = [];
  for (const site of fisher.sites) {
    const value = fisher.gradientOf.get(site);
    if (!value || byValue.has(value.name)) continue;
    const { rows } = site;
    const sum = rows > mostFullRows ? new DiagonalSum(new Float64Array(rows)) : new FullSum(new GramAccumulator(rows));
    byValue.set(value.name, sum);
    observations.push({ value, observer: { observe: (array) => addGradients(site, sum, array) } });
  }
  return {
    observations,
    sumOf: (site) => byValue.get(fisher.gradientOf.get(site)?.name ?? ''),
  };
};

/** Rows of a product are positions; those of a convolution are pictures over channels. */
const addGradients = async (site: Site, sum: MomentSum, array: NumericArray): Promise<void> => {
  const floats = floatsOfArray(array);
  if (site.op !== 'Conv' && site.op !== 'ConvTranspose') return sum.add(floats, elementCount(array.shape) / site.rows);
  const [batch = 0, , ...spatial] = array.shape;
  return sum.addChannels(floats, batch, elementCount(spatial));
};
