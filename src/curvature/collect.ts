import type { Site } from '../analysis/sites.ts';
import { walkBackward } from '../autodiff/blockwise/block-backward.ts';
import type { Dataset } from '../calibration/dataset.ts';
import { gramObstacle } from '../calibration/statistics/gram.ts';
import { CompressError } from '../errors.ts';
import { bindingOf, bindSample } from '../execution/feeds.ts';
import type { Engine, Feeds } from '../execution/session.ts';
import { symbolsOf } from '../execution/symbols.ts';
import { cloneProgram } from '../ir/clone.ts';
import { foldConstants } from '../ir/edit/fold-constants.ts';
import type { Program } from '../ir/graph.ts';
import { tensorType } from '../ir/shape.ts';
import { Random } from '../random.ts';
import type { Emit } from '../recipe/events.ts';
import { buildFisherProgram, type FisherProgram } from './fisher.ts';
import { Gathering, tracedWeights } from './gathering.ts';
import { checkCollectionMemory } from './memory.ts';
import { drawNoise, plainSample } from './noise.ts';
import { independentSamples } from './steps.ts';
import type { CurvatureWriter } from './stored.ts';

export interface CollectOptions {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly engine: Engine;
  /** Noise is drawn with it. */
  readonly seed: number;
  readonly wanted: (site: Site) => boolean;
  /** Bytes of activations in memory; beyond it they are spilled to the scratch folder. */
  readonly maxMemoryBytes: number;
  readonly scratch: { readonly directory: string };
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/**
 * Collects A and B of the wanted sites: one pass forward, then block by block backward from a gradient
 * that stands for labels drawn from the model (see buildFisherProgram). Sums are in double precision, those of one block in memory at a time; the same
 * bits for any thread count.
 * @param writer takes what was gathered, block by block.
 * Steps of sequences count as samples of their own, with the state that they were given.
 * @throws CompressErrors for operators without a gradient rule; 'resource' where not even one sample fits into memory.
 */
export const collectCurvature = async (options: CollectOptions, writer: CurvatureWriter): Promise<void> => {
  const { program, seed } = options;
  const { dataset, carried } = await independentSamples(program, options.dataset, options);
  const binding = bindingOf(program);
  const feedsOf = async (index: number): Promise<Feeds> =>
    bindSample(
      plainSample(await dataset.sample(index), dataset, index),
      binding,
      `sample ${index} of ${dataset.description}`,
    );
  const wanted = (site: Site): boolean => !gramObstacle(site) && options.wanted(site);
  const fisher = await differentiable(program, feedsOf, (given) => buildFisherProgram(given, wanted, carried));
  if (fisher.sites.length === 0) return;
  checkCollectionMemory(fisher.program, await feedsOf(0), options.maxMemoryBytes);
  let items = 0;
  const feeds = async (index: number): Promise<Feeds> => {
    const bound = await feedsOf(index);
    const random = new Random(seed, `noise of sample ${index}`);
    const symbols = symbolsOf(program, bound);
    const noises = fisher.noises.map((noise) => ({ name: noise.name, ...drawNoise(noise, symbols, random) }));
    items += noises[0]!.items;
    return new Map([...bound, ...noises.map(({ name, array }) => [name, array] as const)]);
  };
  const gathering = new Gathering(fisher.sites, writer);
  await walkBackward(
    {
      ...options,
      program: fisher.program,
      loss: fisher.output,
      seed: fisher.seed,
      of: [...new Set([...fisher.sites.map((site) => site.output), ...tracedWeights(fisher.sites)])],
      watch: [...new Set(fisher.sites.map((site) => site.input))],
      runCount: dataset.length,
      feeds,
      task: 'curvature',
    },
    (seen) => gathering.see(seen),
  );
  gathering.finish(items);
};

/**
 * Builds on the program as it is, or where that cannot be differentiated (an unknown number of recurrent steps) with the
 * inputs fixed to the shapes of the first sample.
 */
const differentiable = async (
  program: Program,
  feedsOf: (index: number) => Promise<Feeds>,
  build: (program: Program) => FisherProgram,
): Promise<FisherProgram> => {
  try {
    return build(program);
  } catch (error) {
    if (!(error instanceof CompressError) || error.code !== 'unsupported') throw error;
    const feeds = await feedsOf(0);
    const fixed = cloneProgram(program);
    for (const input of fixed.graph.inputs) {
      const array = feeds.get(input.name);
      if (array) input.type = tensorType(array.dtype, array.shape);
    }
    foldConstants(fixed);
    return build(fixed);
  }
};
