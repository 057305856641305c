import { type Block, findBlocks } from '../analysis/blocks.ts';
import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { type Observation, observeProgram } from '../execution/observe.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { StageContext } from '../stages/stage.ts';

/** Sums that give the mean cosine between two values over positions. */
class CosineMean {
  readonly #before = new Map<number, NumericArray>();
  #sum = 0;
  #count = 0;

  observeBefore(array: NumericArray, run: number): void {
    this.#before.set(run, array);
  }

  observeAfter(array: NumericArray, run: number): void {
    const before = this.#before.get(run);
    this.#before.delete(run);
    if (!before || before.shape.join() !== array.shape.join()) return;
    const [x, y] = [floatsOfArray(before), floatsOfArray(array)];
    const width = array.shape.at(-1) || 1;
    for (let at = 0; at < x.length; at += width) {
      let [xy, xx, yy] = [0, 0, 0];
      for (let index = at; index < at + width; index++) {
        xy += x[index]! * y[index]!;
        xx += x[index]! ** 2;
        yy += y[index]! ** 2;
      }
      if (xx > 0 && yy > 0) this.#sum += xy / Math.sqrt(xx * yy);
      this.#count++;
    }
  }

  get mean(): number | undefined {
    return this.#count === 0 ? undefined : this.#sum / this.#count;
  }
}

/** What flows through a block: its only computed input and its only output. */
const streamOf = ({ inputs, outputs }: Block): { readonly before: Value; readonly after: Value } | undefined => {
  const computed = inputs.filter(({ producer }) => producer !== undefined);
  const [before, after] = [computed[0], outputs[0]];
  return computed.length === 1 && outputs.length === 1 && before && after ? { before, after } : undefined;
};

/**
 * Block influence, 1 - E[cos(x_before, x_after)] over positions, by block index (ShortGPT, arXiv 2403.03853, section 3);
 * only of blocks that one stream of one shape passes through.
 */
export const blockInfluences = async (request: {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly context: Pick<StageContext, 'engine' | 'scratch' | 'emit' | 'signal'>;
}): Promise<Map<number, number>> => {
  const { program, dataset, context } = request;
  const means = new Map<number, CosineMean>();
  const observations: Observation[] = [];
  for (const block of findBlocks(program)) {
    const stream = streamOf(block);
    if (!stream) continue;
    const mean = new CosineMean();
    means.set(block.index, mean);
    observations.push({ value: stream.before, observer: { observe: (array, run) => mean.observeBefore(array, run) } });
    observations.push({ value: stream.after, observer: { observe: (array, run) => mean.observeAfter(array, run) } });
  }
  if (observations.length > 0)
    await observeProgram({ ...context, program, dataset, observations, task: 'block influence' });
  const found = new Map<number, number>();
  for (const [index, { mean }] of means) if (mean !== undefined) found.set(index, 1 - mean);
  return found;
};
