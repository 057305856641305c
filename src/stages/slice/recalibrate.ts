import { findResidualWriters } from '../../analysis/residual-writers.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import type { NumericArray } from '../../calibration/dataset.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import { runBlocks } from '../../execution/block-runner.ts';
import { freshName } from '../../ir/edit/names.ts';
import { setConstant } from '../../ir/edit/replace.ts';
import type { Program } from '../../ir/graph.ts';
import { readNumbers, tensorOf } from '../../ir/read.ts';
import { constantOf } from '../../ir/walk.ts';
import type { StageContext } from '../stage.ts';
import type { KeptRows } from './kept-rows.ts';

/** Mean and spread of the outputs of a convolution, channel by channel, in one pass. */
class ChannelStatistics {
  readonly #sums: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;

  constructor(channels: number) {
    this.#sums = new Float64Array(channels);
    this.#squares = new Float64Array(channels);
  }

  /** @param array (batch, channels, …) */
  add(array: NumericArray): void {
    const values = floatsOfArray(array);
    const channels = this.#sums.length;
    const positions = values.length / ((array.shape[0] ?? 1) * channels);
    for (let at = 0; at < values.length; at++) {
      const channel = Math.floor(at / positions) % channels;
      this.#sums[channel]! += values[at]!;
      this.#squares[channel]! += values[at]! ** 2;
    }
    this.#count += values.length / channels;
  }

  mean(channel: number): number {
    return this.#sums[channel]! / this.#count;
  }

  spread(channel: number): number {
    return Math.sqrt(Math.max(0, this.#squares[channel]! / this.#count - this.mean(channel) ** 2));
  }
}

/** Gains beyond this either way are those of channels that hardly vary, and are left at 1. */
const mostGain = 8;

/** y' = g (y − μ) + μ₀ with g = σ₀ / σ: rows of the kernel and the bias take it in. */
const renormalise = (site: Site, before: ChannelStatistics, now: ChannelStatistics, kept: readonly number[]): void => {
  const { graph, node, rows, columns } = site;
  const matrix = Float32Array.from(readSiteMatrix(site));
  const present = constantOf(node.inputs[2]);
  const bias = present ? Array.from(readNumbers(present)) : new Array<number>(rows).fill(0);
  for (let row = 0; row < rows; row++) {
    const source = kept[row]!;
    const ratio = before.spread(source) / now.spread(row);
    const gain = ratio > 1 / mostGain && ratio < mostGain ? ratio : 1;
    for (let column = 0; column < columns; column++) matrix[row * columns + column]! *= gain;
    bias[row] = before.mean(source) + gain * (bias[row]! - now.mean(row));
  }
  writeSiteMatrix(site, matrix);
  const { dtype } = constantOf(site.weight)!;
  const tensor = tensorOf(dtype, [rows], bias);
  if (present) setConstant(node.inputs[2]!, tensor);
  else node.setInput(2, graph.addInitializer(freshName(graph, `${site.name}.bias`), tensor));
};

/**
 * Gives the outputs of convolutions the means and variances that they had in the model before, channel by channel, in
 * execution order, each seen behind those that are corrected already: what normalisations that were taken into the
 * convolutions would find if their statistics were measured again (EagleEye, Li et al. 2020; FedTiny, Huang et al. 2023).
 * Convolutions that write to a residual stream are left to the refit where there is one.
 */
export const recalibrate = async (
  program: Program,
  original: Program,
  kept: KeptRows,
  context: StageContext,
  { writers }: { readonly writers: boolean },
): Promise<void> => {
  const { calibration: dataset, engine, maxMemoryBytes, scratch, emit, signal } = context;
  const rowsBefore = new Map(findSites(original).map((site) => [site.name, site.rows]));
  const isOne = ({ op }: Site): boolean => op === 'Conv';
  if (!findSites(program).some(isOne)) return;
  const spared = new Set(writers ? [] : findResidualWriters(program).map(({ site }) => site.node));
  await runBlocks(
    { program, dataset: dataset!, engine, maxMemoryBytes, original, scratch, task: 'recalibration', emit, signal },
    async (visit) => {
      for (const site of visit.block.sites) {
        const count = rowsBefore.get(site.name);
        const shared = site.weight.uses.length > 1 || (site.node.inputs[2]?.uses.length ?? 0) > 1;
        if (!isOne(site) || count === undefined || shared || spared.has(site.node)) continue;
        if (!visit.originalHas([site.output.name])) continue;
        const before = new ChannelStatistics(count);
        const now = new ChannelStatistics(site.rows);
        await visit.observeBeside({
          original: [site.output.name],
          present: [site.output],
          observe: (original, present) => {
            before.add(original.get(site.output.name)!);
            now.add(present.get(site.output.name)!);
          },
        });
        renormalise(site, before, now, kept.of(site.name, site.rows));
      }
    },
  );
};
