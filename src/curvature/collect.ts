import type { Site } from '../analysis/sites.ts';
import { walkBackward } from '../autodiff/blockwise/block-backward.ts';
import type { Dataset } from '../calibration/dataset.ts';
import { gramObstacle } from '../calibration/statistics/gram.ts';
import { bindingOf, bindSample } from '../execution/feeds.ts';
import type { Engine, Feeds } from '../execution/session.ts';
import type { Program } from '../ir/graph.ts';
import { Random } from '../random.ts';
import type { Emit } from '../recipe/events.ts';
import { buildFisherProgram } from './fisher.ts';
import { Gathering, tracedWeights } from './gathering.ts';
import { drawNoise, plainSample, symbolReader } from './noise.ts';
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
 * @throws 'data' for samples with carried state, CompressErrors for operators without a gradient rule.
 */
export const collectCurvature = async (options: CollectOptions, writer: CurvatureWriter): Promise<void> => {
  const { program, dataset, seed } = options;
  const wanted = (site: Site): boolean => !gramObstacle(site) && options.wanted(site);
  const fisher = buildFisherProgram(program, wanted);
  if (fisher.sites.length === 0) return;
  const binding = bindingOf(program);
  const symbols = symbolReader(program);
  let items = 0;
  const feeds = async (index: number): Promise<Feeds> => {
    const sample = plainSample(await dataset.sample(index), dataset, index);
    const bound = bindSample(sample, binding, `sample ${index} of ${dataset.description}`);
    const random = new Random(seed, `noise of sample ${index}`);
    const noises = fisher.noises.map((noise) => ({ name: noise.name, ...drawNoise(noise, symbols(bound), random) }));
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
