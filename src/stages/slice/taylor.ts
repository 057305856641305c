import type { Site } from '../../analysis/sites.ts';
import { walkBackward } from '../../autodiff/blockwise/block-backward.ts';
import type { Dataset, NumericArray } from '../../calibration/dataset.ts';
import { buildFisherProgram } from '../../curvature/fisher.ts';
import { drawNoise, plainSample } from '../../curvature/noise.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import { bindingOf, bindSample } from '../../execution/feeds.ts';
import { symbolsOf } from '../../execution/symbols.ts';
import type { Program } from '../../ir/graph.ts';
import { Random } from '../../random.ts';
import type { StageContext } from '../stage.ts';

/** Σ |x_c ∂L/∂x_c| over samples and rows; the positions of a picture are summed before the absolute value is taken. */
const addProducts = (sums: Float64Array, x: NumericArray, gradient: NumericArray, isPicture: boolean): void => {
  const [values, slopes] = [floatsOfArray(x), floatsOfArray(gradient)];
  const channels = sums.length;
  const [batch = 1] = x.shape;
  const positions = isPicture ? values.length / (batch * channels) : 1;
  for (let at = 0; at < values.length; at += positions) {
    let sum = 0;
    for (let index = at; index < at + positions; index++) sum += values[index]! * slopes[index]!;
    sums[(at / positions) % channels]! += Math.abs(sum);
  }
};

/**
 * How much the loss changes at first order when an input of a product is set to zero: the mean of |x_j ∂L/∂x_j| over rows
 * (Molchanov et al. 2017, section 2.2), for labels drawn from the model. For each site by name: (columns), a channel's
 * score spread over the columns of its kernel.
 */
export const taylorScores = async (
  given: Program,
  names: ReadonlySet<string>,
  dataset: Dataset,
  context: StageContext,
): Promise<ReadonlyMap<string, Float64Array>> => {
  const { engine, seed, maxMemoryBytes, scratch, emit, signal } = context;
  const { program, sites, output, seed: start, noises } = buildFisherProgram(given, ({ name }) => names.has(name));
  const binding = bindingOf(given);
  const inputs = [...new Set(sites.map(({ input }) => input))];
  const isPicture = ({ op }: Site): boolean => op === 'Conv' || op === 'ConvTranspose';
  const kernelOf = (site: Site): number => {
    const shape = site.weight.tensor?.shape ?? [];
    return isPicture(site) ? shape.slice(2).reduce((size, length) => size * length, 1) : 1;
  };
  const sums = new Map(sites.map((site) => [site, new Float64Array(site.columns / kernelOf(site))]));
  const waiting = new Map<string, NumericArray>();
  /** Values and their gradients may be shown in different blocks. */
  const meet = (name: string, run: number, kind: 'value' | 'gradient', array: NumericArray): void => {
    const other = waiting.get(`${kind === 'value' ? 'gradient' : 'value'} ${run} ${name}`);
    if (!other) {
      waiting.set(`${kind} ${run} ${name}`, array);
      return;
    }
    waiting.delete(`${kind === 'value' ? 'gradient' : 'value'} ${run} ${name}`);
    const [x, gradient] = kind === 'value' ? [array, other] : [other, array];
    for (const site of sites) if (site.input.name === name) addProducts(sums.get(site)!, x, gradient, isPicture(site));
  };
  await walkBackward(
    {
      program,
      loss: output,
      seed: start,
      of: inputs,
      watch: inputs,
      engine,
      maxMemoryBytes,
      scratch,
      emit,
      signal,
      runCount: dataset.length,
      task: 'taylor scores',
      feeds: async (index) => {
        const sample = plainSample(await dataset.sample(index), dataset, index);
        const bound = bindSample(sample, binding, `sample ${index} of ${dataset.description}`);
        const random = new Random(seed, `noise of sample ${index}`);
        const drawn = noises.map(
          (noise) => [noise.name, drawNoise(noise, symbolsOf(given, bound), random).array] as const,
        );
        return new Map([...bound, ...drawn]);
      },
    },
    ({ run, gradients, values }) => {
      for (const [value, array] of values) meet(value.name, run, 'value', array);
      for (const [value, array] of gradients) meet(value.name, run, 'gradient', array);
    },
  );
  return new Map(
    sites.map((site) => {
      const kernel = kernelOf(site);
      const own = sums.get(site)!;
      return [
        site.name,
        Float64Array.from({ length: site.columns }, (_, column) => own[Math.floor(column / kernel)]! / kernel),
      ];
    }),
  );
};
