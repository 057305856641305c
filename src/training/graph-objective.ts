import type { Dataset } from '../calibration/dataset.ts';
import { CompressError, internalError } from '../errors.ts';
import { floatArray, floatsOfArray } from '../execution/arrays.ts';
import { type Binding, bindingOf } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import type { Engine, Feeds, Session, SessionOptions } from '../execution/session.ts';
import type { Program, Value } from '../ir/graph.ts';
import { addInto } from '../kernels/index.ts';
import { type Batch, collate, readSample, SampleOrder } from './batches.ts';
import { buildLoss, type LossPlan, lossInputs } from './loss-graph.ts';
import type { BatchGradient, BatchLoss, Objective } from './objective.ts';
import { ParameterSet } from './parameters.ts';
import { buildStepProgram, type StepProgram } from './step-program.ts';
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
  readonly microBatch: number;
  readonly seed: number;
  readonly engine: Engine;
  readonly session: SessionOptions;
  readonly signal: AbortSignal;
}

/** The two programs of an objective: a step with gradients, and the loss alone. */
export interface ObjectivePrograms {
  readonly step: StepProgram;
  readonly judge: StepProgram;
}

export const buildPrograms = (
  options: Pick<GraphObjectiveOptions, 'student' | 'weights' | 'extra' | 'loss'>,
): ObjectivePrograms => {
  const { student: program, weights, extra, loss } = options;
  const request = { program, weights, extra, buildLoss: buildLoss.bind(undefined, loss) };
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

/**
 * An objective whose loss and gradients an inference engine computes. Weights are read by the session where the
 * optimizer changes them; each gradient comes out as one array, which the engine copies once out of its own memory.
 */
export class GraphObjective implements Objective {
  readonly parameters: ParameterSet;
  readonly #options: GraphObjectiveOptions;
  readonly #programs: ObjectivePrograms;
  readonly #binding: Binding;
  readonly #order: SampleOrder;
  readonly #weights: readonly TrainedWeight[];
  readonly #step: Session;
  readonly #judge: Session;

  private constructor(options: GraphObjectiveOptions, programs: ObjectivePrograms, step: Session, judge: Session) {
    this.#options = options;
    this.#programs = programs;
    this.#step = step;
    this.#judge = judge;
    this.#binding = bindingOf(options.student);
    this.#order = new SampleOrder(options.train, options.seed);
    this.#weights = [...options.weights.values(), ...options.extra];
    this.parameters = new ParameterSet(this.#weights.flatMap((weight) => weight.parameters));
  }

  /** Loads both programs; close it afterwards. */
  static async open(options: GraphObjectiveOptions, programs: ObjectivePrograms): Promise<GraphObjective> {
    const { engine, session } = options;
    const step = await engine.open(programs.step.program, session);
    try {
      return new GraphObjective(options, programs, step, await engine.open(programs.judge.program, session));
    } catch (error) {
      await step.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#step.close();
    await this.#judge.close();
  }

  async gradient(step: number): Promise<BatchGradient> {
    const { batch: size } = this.#options;
    const batches = await this.#batches(this.#order.take((step - 1) * size, step * size));
    const leaves = await this.#leaves();
    const totals = totalsOf(batches);
    const sums = new Map<TrainedWeight, Float32Array>();
    const losses: BatchLoss[] = [];
    for (const batch of batches) {
      const outputs = await this.#run(this.#step, this.#programs.step, batch, leaves, totals);
      losses.push(this.#lossOf(this.#programs.step, batch, outputs));
      for (const weight of this.#weights) {
        const name = this.#programs.step.leaves.get(weight)?.gradient;
        const array = name === undefined ? undefined : outputs.get(name);
        if (!array) throw internalError(`there is no gradient of ${weight.name}`);
        const known = sums.get(weight);
        if (known) addInto(known, floatsOfArray(array));
        else sums.set(weight, floatsOfArray(array));
      }
    }
    const byParameter = new Map<string, Float32Array>();
    for (const weight of this.#weights) {
      const gradients = await weight.pullBack(this.#valuesOf(weight), sums.get(weight)!);
      weight.parameters.forEach(({ name }, index) => {
        byParameter.set(name, gradients[index]!);
      });
    }
    return { ...joined(losses), gradients: this.parameters.entries.map(({ name }) => byParameter.get(name)!) };
  }

  async validate(): Promise<number | undefined> {
    const { held, microBatch, signal } = this.#options;
    if (held.length === 0) return undefined;
    const leaves = await this.#leaves();
    let sum = 0;
    let items = 0;
    for (let begin = 0; begin < held.length; begin += microBatch) {
      checkSignal(signal);
      const [batch] = await this.#batches(held.slice(begin, begin + microBatch));
      const outputs = await this.#run(this.#judge, this.#programs.judge, batch!, leaves, totalsOf([batch!]));
      const { loss, items: count } = this.#lossOf(this.#programs.judge, batch!, outputs);
      sum += loss * count;
      items += count;
    }
    return sum / items;
  }

  /** The constants under the present parameters. */
  async tensors(): Promise<Map<Value, Awaited<ReturnType<TrainedWeight['tensor']>>>> {
    const found = new Map<Value, Awaited<ReturnType<TrainedWeight['tensor']>>>();
    for (const [value, weight] of this.#options.weights) found.set(value, await weight.tensor(this.#valuesOf(weight)));
    return found;
  }

  #valuesOf(weight: TrainedWeight): Float32Array[] {
    return weight.parameters.map(({ name }) => this.parameters.view(name));
  }

  async #leaves(): Promise<Map<TrainedWeight, Float32Array>> {
    const leaves = new Map<TrainedWeight, Float32Array>();
    for (const weight of this.#weights) leaves.set(weight, await weight.leaf(this.#valuesOf(weight)));
    return leaves;
  }

  async #batches(indices: readonly number[]): Promise<Batch[]> {
    const { dataset, microBatch } = this.#options;
    const batches: Batch[] = [];
    for (let begin = 0; begin < indices.length; begin += microBatch) {
      const samples = [];
      for (const index of indices.slice(begin, begin + microBatch))
        samples.push({ index, sample: await readSample(dataset, index) });
      batches.push(collate(samples, this.#binding, dataset.description));
    }
    return batches;
  }

  async #run(
    session: Session,
    program: StepProgram,
    batch: Batch,
    leaves: ReadonlyMap<TrainedWeight, Float32Array>,
    totals: Totals,
  ): ReturnType<Session['run']> {
    checkSignal(this.#options.signal);
    const feeds = new Map(batch.feeds);
    for (const [weight, leaf] of leaves)
      feeds.set(program.leaves.get(weight)!.input, floatArray(weight.leafShape, leaf));
    const count = batch.rows.weights.length;
    feeds.set(lossInputs.labels, { dtype: 'int64', shape: [count], data: batch.rows.labels });
    feeds.set(lossInputs.rowWeights, floatArray([count], batch.rows.weights));
    feeds.set(lossInputs.rowTotal, scalar(totals.rows));
    const presence = presenceOf(batch);
    feeds.set(lossInputs.presence, floatArray([presence.length], presence));
    feeds.set(lossInputs.presenceTotal, scalar(totals.presence));
    for (const [name, array] of await this.#taught(batch)) feeds.set(name, array);
    return session.run(feeds);
  }

  /** What the teachers say of a batch, padded like it. */
  async #taught(batch: Batch): Promise<Feeds> {
    const { teachers, loss } = this.#options;
    const feeds = new Map<string, ReturnType<typeof floatArray>>();
    const comparesScores = loss.distributions.some((term) => term.loss.needs === 'teacher');
    for (const [number, teacher] of teachers.entries()) {
      const perSample: (readonly TeacherRows[])[] = [];
      for (const index of batch.indices) perSample.push(await teacher.rowsOf(index));
      perSample[0]?.forEach(({ width }, place) => {
        const wanted = place === 0 && comparesScores;
        const feature = loss.features.some((term) => term.teacherValue === place);
        if (!wanted && !(number === 0 && feature)) return;
        const sizes = perSample.map((rows, sample) => rowCount(rows[place]!.data.length / width, batch, sample));
        const data = new Float32Array(sizes.reduce((sum, size) => sum + size, 0) * width);
        let at = 0;
        perSample.forEach((rows, sample) => {
          data.set(rows[place]!.data, at * width);
          at += sizes[sample]!;
        });
        const name = wanted ? lossInputs.scores(number) : lossInputs.feature(place);
        feeds.set(name, floatArray([at, width], data));
        if (wanted && number === 0 && feature) feeds.set(lossInputs.feature(place), floatArray([at, width], data));
      });
    }
    return feeds;
  }

  #lossOf(program: StepProgram, batch: Batch, outputs: Awaited<ReturnType<Session['run']>>): BatchLoss {
    const read = (name: string): number => Number(outputs.get(name)?.data[0] ?? Number.NaN);
    const shown = batch.indices.slice(0, 8).join(', ');
    return {
      loss: read(program.loss),
      parts: Object.fromEntries(program.parts.map(({ name, output }) => [name, read(output)])),
      items: batch.lengths.reduce((sum, length) => sum + length, 0),
      description: `samples ${shown}${batch.indices.length > 8 ? ', …' : ''} of ${this.#options.dataset.description}`,
    };
  }
}

/** Rows that a sample takes in a batch: those of a window are padded to the batch's length. */
const rowCount = (rows: number, batch: Batch, sample: number): number =>
  rows === batch.lengths[sample] ? batch.length : rows;

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
