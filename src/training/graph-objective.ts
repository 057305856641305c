import type { Dataset } from '../calibration/dataset.ts';
import { CompressError } from '../errors.ts';
import { floatArray } from '../execution/arrays.ts';
import { type Binding, bindingOf } from '../execution/feeds.ts';
import type { Engine, Feeds, SessionOptions } from '../execution/session.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { Tensor } from '../ir/tensor.ts';
import { Random } from '../random.ts';
import { type Batch, type BatchSample, collate, readSample, SampleOrder } from './batches.ts';
import type { BlockwiseOptions } from './blockwise-step.ts';
import type { Generator, Writing } from './generator.ts';
import { buildLoss, type LossPlan, lossInputs } from './loss-graph.ts';
import type { BatchGradient, BatchLoss, Memory, Objective } from './objective.ts';
import type { ParameterSet } from './parameters.ts';
import type { Rationale } from './rationale.ts';
import { Replay } from './replay.ts';
import type { RunLoss } from './run-loss.ts';
import { buildStepProgram, type Precision } from './step-program.ts';
import { type ObjectivePrograms, StepRunner } from './step-runner.ts';
import { taughtFeeds } from './taught.ts';
import type { Teacher, TeacherRows } from './teacher.ts';
import type { TrainedWeight } from './weights/weight.ts';

export interface GraphObjectiveOptions {
  readonly student: Program;
  readonly weights: ReadonlyMap<Value, TrainedWeight>;
  /** Weights that only the loss knows: projections. */
  readonly extra: readonly TrainedWeight[];
  readonly loss: LossPlan;
  /** As many as the loss has shares; their first value are the scores where the loss compares distributions. */
  readonly teachers: readonly Teacher[];
  readonly dataset: Dataset;
  /** Samples to train on, and samples to judge by. */
  readonly train: readonly number[];
  readonly held: readonly number[];
  /** Samples of a step, and how many of them are run at once. */
  readonly batch: number;
  /** Samples that the student writes; undefined: none. */
  readonly generation?: Generation | undefined;
  readonly rationale?: Rationale | undefined;
  readonly microBatch: number;
  /** Take gradients block by block; undefined: all at once. */
  readonly blockwise?: BlockwiseOptions | undefined;
  readonly seed: number;
  readonly engine: Engine;
  readonly session: SessionOptions;
  readonly signal: AbortSignal;
}

export interface Generation {
  readonly generator: Generator;
  /** Of the samples of a step. */
  readonly share: number;
  /** Chance of a written sample to be one of an earlier step. */
  readonly replay: number;
  readonly writing: Writing;
}

export const buildPrograms = (
  options: Pick<GraphObjectiveOptions, 'student' | 'weights' | 'extra' | 'loss'> & { readonly precision?: Precision },
): ObjectivePrograms => {
  const { student: program, weights, extra, loss, precision } = options;
  const request = { program, weights, extra, precision, buildLoss: buildLoss.bind(undefined, loss) };
  return {
    step: buildStepProgram({ ...request, gradients: 'wanted' }),
    judge: buildStepProgram({ ...request, gradients: 'left-out' }),
  };
};

/** Sums over the whole batch that the parts of it are divided by. */
interface Totals {
  readonly rows: number;
  readonly presence: number;
}

const scalar = (value: number) => floatArray([], Float32Array.of(value));

const sumOf = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0);

/** An objective whose loss and gradients an inference engine computes from a dataset and what teachers say of it. */
export class GraphObjective implements Objective {
  readonly parameters: ParameterSet;
  readonly #options: GraphObjectiveOptions;
  readonly #binding: Binding;
  readonly #order: SampleOrder;
  readonly #runner: StepRunner;
  readonly #replay = new Replay();

  private constructor(options: GraphObjectiveOptions, runner: StepRunner) {
    this.#options = options;
    this.#runner = runner;
    this.#binding = bindingOf(options.student);
    this.#order = new SampleOrder(options.train, options.seed);
    this.parameters = runner.parameters;
  }

  /** Loads both programs; close it afterwards. */
  static async open(options: GraphObjectiveOptions, programs: ObjectivePrograms): Promise<GraphObjective> {
    const { engine, session, blockwise, signal } = options;
    const weights = [...options.weights.values(), ...options.extra];
    const runner = await StepRunner.open({ weights, programs, engine, session, blockwise, signal });
    return new GraphObjective(options, runner);
  }

  close(): Promise<void> {
    return this.#runner.close();
  }

  get memory(): Memory | undefined {
    return (this.#options.generation?.replay ?? 0) > 0 ? this.#replay : undefined;
  }

  async gradient(step: number): Promise<BatchGradient> {
    const { batch: size } = this.#options;
    const samples = await this.#samples(this.#order.take((step - 1) * size, step * size));
    const batches = this.#batches(await this.#written(samples, step));
    const totals = totalsOf(batches);
    const feeds = this.#feeds(batches, () => totals);
    const { losses, gradients } = await this.#runner.gradient({ count: batches.length, feeds });
    return { ...joined(losses.map((loss, index) => this.#told(loss, batches[index]!))), gradients };
  }

  async validate(): Promise<number | undefined> {
    const { held } = this.#options;
    if (held.length === 0) return undefined;
    const batches = this.#batches(await this.#samples(held));
    const losses = await this.#runner.judge(this.#feeds(batches, (batch) => totalsOf([batch])));
    const counts = batches.map(itemsOf);
    const total = counts.reduce((sum, count) => sum + count, 0);
    return losses.reduce((sum, { loss }, index) => sum + loss * counts[index]!, 0) / total;
  }

  /** The constants under the present parameters. */
  async tensors(): Promise<Map<Value, Tensor>> {
    const found = new Map<Value, Tensor>();
    for (const [value, weight] of this.#options.weights)
      found.set(value, await weight.tensor(this.#runner.valuesOf(weight)));
    return found;
  }

  async #samples(indices: readonly number[]): Promise<BatchSample[]> {
    const samples: BatchSample[] = [];
    for (const index of indices)
      samples.push({ index, sample: await readSample(this.#options.dataset, index), origin: 'dataset' });
    return samples;
  }

  /** The first of a step's samples as the student goes on with them. */
  async #written(samples: readonly BatchSample[], step: number): Promise<BatchSample[]> {
    const { generation, seed } = this.#options;
    if (!generation) return [...samples];
    const { generator, share, replay, writing } = generation;
    const leaves = await this.#runner.leaves();
    const count = Math.round(share * samples.length);
    const randoms = samples.map((_, place) => new Random(seed, `generated sample ${place} of step ${step}`));
    const again = (place: number): boolean => replay > 0 && this.#replay.size > 0 && randoms[place]!.float() < replay;
    const drawn = samples.map((known, place): BatchSample | undefined => {
      if (place >= count) return known;
      return again(place) ? { ...this.#replay.draw(randoms[place]!), origin: 'generated' } : undefined;
    });
    const places = [...drawn.keys()].filter((place) => !drawn[place]);
    const texts = await generator.write(
      places.map((place) => samples[place]!.sample),
      leaves,
      writing,
      places.map((place) => randoms[place]!),
    );
    places.forEach((place, number) => {
      const written = { index: samples[place]!.index, sample: texts[number]! };
      if (replay > 0) this.#replay.add(written);
      drawn[place] = { ...written, origin: 'generated' };
    });
    return drawn.map((sample) => sample!);
  }

  #batches(samples: readonly BatchSample[]): Batch[] {
    const { dataset, microBatch, rationale } = this.#options;
    const batches: Batch[] = [];
    for (let begin = 0; begin < samples.length; begin += microBatch)
      batches.push(collate(samples.slice(begin, begin + microBatch), this.#binding, dataset.description, rationale));
    return batches;
  }

  async *#feeds(batches: readonly Batch[], totals: (batch: Batch) => Totals): AsyncGenerator<Feeds> {
    for (const batch of batches) yield await this.#feedsOf(batch, totals(batch));
  }

  async #feedsOf(batch: Batch, totals: Totals): Promise<Feeds> {
    const feeds = new Map(batch.feeds);
    const count = batch.rows.weights.length;
    feeds.set(lossInputs.labels, { dtype: 'int64', shape: [count], data: batch.rows.labels });
    feeds.set(lossInputs.rowWeights, floatArray([count], batch.rows.weights));
    feeds.set(lossInputs.rowTotal, scalar(totals.rows));
    const presence = presenceOf(batch);
    feeds.set(lossInputs.presence, floatArray([presence.length], presence));
    feeds.set(lossInputs.presenceTotal, scalar(totals.presence));
    feeds.set(lossInputs.presenceMatrix, floatArray([batch.lengths.length, batch.length], presence));
    const said: (readonly TeacherRows[])[][] = [];
    for (const teacher of this.#options.teachers) {
      const ofTeacher: (readonly TeacherRows[])[] = [];
      for (const { index, sample, origin } of batch.samples)
        ofTeacher.push(
          origin === 'dataset'
            ? await teacher.rowsOf(index)
            : await teacher.rowsFor(sample, `a text generated from sample ${index}`),
        );
      said.push(ofTeacher);
    }
    for (const [name, array] of taughtFeeds(said, this.#options.loss, batch)) feeds.set(name, array);
    return feeds;
  }

  #told(loss: RunLoss, batch: Batch): BatchLoss {
    const indices = batch.samples.map(({ index }) => index);
    const shown = indices.slice(0, 8).join(', ');
    const more = indices.length > 8 ? ', …' : '';
    return {
      ...loss,
      items: itemsOf(batch),
      description: `samples ${shown}${more} of ${this.#options.dataset.description}`,
    };
  }
}

const itemsOf = (batch: Batch): number => batch.lengths.reduce((sum, length) => sum + length, 0);

const presenceOf = (batch: Batch): Float32Array => {
  const presence = new Float32Array(batch.lengths.length * batch.length);
  batch.lengths.forEach((length, sample) => {
    presence.fill(1, sample * batch.length, sample * batch.length + length);
  });
  return presence;
};

const totalsOf = (batches: readonly Batch[]): Totals => {
  const rows = batches.reduce((sum, batch) => sum + sumOf(batch.rows.weights), 0);
  const presence = batches.reduce((sum, batch) => sum + batch.lengths.reduce((total, length) => total + length, 0), 0);
  if (rows > 0) return { rows, presence };
  throw new CompressError({
    code: 'data',
    message: 'a batch holds nothing to be predicted',
    hint: 'Use longer windows, or larger batches.',
  });
};

/** Losses of the parts of a batch, each already divided by the whole batch's total. */
const joined = (losses: readonly BatchLoss[]): BatchLoss => {
  const names = Object.keys(losses[0]?.parts ?? {});
  const total = (of: (loss: BatchLoss) => number): number => losses.reduce((sum, loss) => sum + of(loss), 0);
  return {
    loss: total(({ loss }) => loss),
    parts: Object.fromEntries(names.map((name) => [name, total(({ parts }) => parts[name] ?? 0)])),
    items: total(({ items }) => items),
    description:
      losses.length === 1 ? losses[0]!.description : `${losses[0]!.description} and ${losses.length - 1} more parts`,
  };
};
