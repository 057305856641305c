import type { Dataset } from '../../calibration/dataset.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import { bindingOf, runSample } from '../../execution/feeds.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import { withSession } from '../../execution/session.ts';
import type { Program } from '../../ir/graph.ts';
import { difference } from '../../kernels/index.ts';
import type { MeasureContext } from '../measured.ts';
import { computedValues } from './region.ts';
import { type ChannelScale, ScaleSearch } from './scales.ts';

/** How far a value of one program is from its namesake in another, over all elements and runs. */
export interface ValueError {
  /** 10 log₁₀(Σ y² / Σ (y − ŷ)²); infinite where they are equal. */
  readonly snrDb: number;
  readonly cosine: number;
  /** Where the second program holds the value's channels in other units; the error is that in these units. */
  readonly scale: ChannelScale | undefined;
}

/** Values that are fetched from one session at a time: each run holds them all. */
const mostAtOnce = 64;

class Sums {
  #signal = 0;
  #noise = 0;
  #other = 0;
  #dot = 0;
  readonly #search = new ScaleSearch();

  add(shape: readonly number[], before: Float32Array, after: Float32Array): void {
    this.#search.add(shape, before, after);
    const { signal, noise, other, dot } = difference(before, after);
    this.#signal += signal;
    this.#noise += noise;
    this.#other += other;
    this.#dot += dot;
  }

  result(): ValueError {
    const scaled = this.#search.result(this.#noise);
    const { signal, noise, dot } = scaled
      ? { ...scaled, dot: scaled.signal }
      : { signal: this.#signal, noise: this.#noise, dot: this.#dot };
    const norm = Math.sqrt(signal * this.#other);
    return {
      snrDb: noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise),
      cosine: norm === 0 ? Number(noise === 0) : dot / norm,
      scale: scaled?.scale,
    };
  }
}

/**
 * Runs two programs over the same samples and compares values that both have, by name. Values whose arrays have other
 * lengths (a token that took another expert) are left out of the result.
 */
export const compareValues = async (
  programs: { readonly first: Program; readonly second: Program },
  names: readonly string[],
  dataset: Dataset,
  { engine, scratch, emit, signal }: MeasureContext,
): Promise<ReadonlyMap<string, ValueError>> => {
  const { first, second } = programs;
  const bindings = { first: bindingOf(first), second: bindingOf(second) };
  const values = { first: computedValues(first.graph), second: computedValues(second.graph) };
  const sums = new Map<string, Sums>();
  const uneven = new Set<string>();
  for (let begin = 0; begin < names.length; begin += mostAtOnce) {
    const part = names.slice(begin, begin + mostAtOnce);
    const optionsFor = (of: ReadonlyMap<string, (typeof first)['graph']['inputs'][number]>) => ({
      fetch: part.map((name) => of.get(name)!),
      signal,
      scratchDirectory: scratch.directory,
    });
    await withSession(engine, first, optionsFor(values.first), (one) =>
      withSession(engine, second, optionsFor(values.second), async (other) => {
        for (let index = 0; index < dataset.length; index++) {
          checkSignal(signal);
          const sample = await dataset.sample(index);
          const item = `sample ${index} of ${dataset.description}`;
          const steps = runSample(other, sample, bindings.second, item, part);
          for await (const { outputs: before } of runSample(one, sample, bindings.first, item, part)) {
            const after = (await steps.next()).value?.outputs;
            for (const name of part) {
              const array = before.get(name);
              const [x, y] = [array, after?.get(name)].map((found) => found && floatsOfArray(found));
              if (!array || !x || x.length !== y?.length) uneven.add(name);
              else if (!uneven.has(name)) {
                const sum = sums.get(name) ?? new Sums();
                sum.add(array.shape, x, y);
                sums.set(name, sum);
              }
            }
          }
          const counted = { done: index + 1, total: dataset.length, unit: 'samples' };
          emit({ type: 'progress', task: 'comparing values', ...counted });
        }
      }),
    );
  }
  return new Map([...sums].filter(([name]) => !uneven.has(name)).map(([name, sum]) => [name, sum.result()]));
};
