import { internalError } from '../errors.ts';
import { floatArray, floatsOfArray } from '../execution/arrays.ts';
import { checkSignal } from '../execution/interrupt.ts';
import type { Engine, Feeds, Session, SessionOptions } from '../execution/session.ts';
import { addInto } from '../kernels/index.ts';
import { ParameterSet } from './parameters.ts';
import type { StepProgram } from './step-program.ts';
import type { TrainedWeight } from './weights/weight.ts';

/** The two programs of an objective: a step with gradients, and the loss alone. */
export interface ObjectivePrograms {
  readonly step: StepProgram;
  readonly judge: StepProgram;
}

/** What the loss and its parts were in one run. */
export interface RunLoss {
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
}

export interface StepRunnerOptions {
  readonly weights: readonly TrainedWeight[];
  readonly programs: ObjectivePrograms;
  readonly engine: Engine;
  readonly session: SessionOptions;
  readonly signal: AbortSignal;
}

/** What sessions are fed with for each weight. */
export type Leaves = ReadonlyMap<TrainedWeight, Float32Array>;

/**
 * Runs the programs of an objective under the present parameters. Weights are read by the session where the optimizer
 * changes them; each gradient comes out as one array, which the engine copies once out of its own memory.
 */
export class StepRunner {
  readonly parameters: ParameterSet;
  readonly #options: StepRunnerOptions;
  readonly #step: Session;
  readonly #judge: Session;

  private constructor(options: StepRunnerOptions, step: Session, judge: Session) {
    this.#options = options;
    this.#step = step;
    this.#judge = judge;
    this.parameters = new ParameterSet(options.weights.flatMap((weight) => weight.parameters));
  }

  /** Loads both programs; close it afterwards. */
  static async open(options: StepRunnerOptions): Promise<StepRunner> {
    const { engine, session, programs } = options;
    const step = await engine.open(programs.step.program, session);
    try {
      return new StepRunner(options, step, await engine.open(programs.judge.program, session));
    } catch (error) {
      await step.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#step.close();
    await this.#judge.close();
  }

  /** The trained numbers of a weight, as views of the live buffer. */
  valuesOf(weight: TrainedWeight): Float32Array[] {
    return weight.parameters.map(({ name }) => this.parameters.view(name));
  }

  /**
   * Losses of all parts of a batch and the sum of their gradients, by parameter in the order of `parameters.entries`.
   * @param parts feeds of the data inputs, one part at a time.
   */
  async gradient(
    parts: AsyncIterable<Feeds> | Iterable<Feeds>,
  ): Promise<{ losses: RunLoss[]; gradients: Float32Array[] }> {
    const { weights, programs } = this.#options;
    const leaves = await this.leaves();
    const sums = new Map<TrainedWeight, Float32Array>();
    const losses: RunLoss[] = [];
    for await (const feeds of parts) {
      const outputs = await this.#run(this.#step, programs.step, feeds, leaves);
      losses.push(lossOf(programs.step, outputs));
      for (const weight of weights) {
        const name = programs.step.leaves.get(weight)?.gradient;
        const array = name === undefined ? undefined : outputs.get(name);
        if (!array) throw internalError(`there is no gradient of ${weight.name}`);
        const known = sums.get(weight);
        if (known) addInto(known, floatsOfArray(array));
        else sums.set(weight, floatsOfArray(array));
      }
    }
    const byParameter = new Map<string, Float32Array>();
    for (const weight of weights) {
      const gradients = await weight.pullBack(this.valuesOf(weight), sums.get(weight)!);
      weight.parameters.forEach(({ name }, index) => {
        byParameter.set(name, gradients[index]!);
      });
    }
    return { losses, gradients: this.parameters.entries.map(({ name }) => byParameter.get(name)!) };
  }

  /** The loss of each part, without gradients. */
  async judge(parts: AsyncIterable<Feeds> | Iterable<Feeds>): Promise<RunLoss[]> {
    const { programs } = this.#options;
    const leaves = await this.leaves();
    const losses: RunLoss[] = [];
    for await (const feeds of parts)
      losses.push(lossOf(programs.judge, await this.#run(this.#judge, programs.judge, feeds, leaves)));
    return losses;
  }

  /** What each weight is fed as under the present parameters; valid until they change. */
  async leaves(): Promise<Leaves> {
    const leaves = new Map<TrainedWeight, Float32Array>();
    for (const weight of this.#options.weights) leaves.set(weight, await weight.leaf(this.valuesOf(weight)));
    return leaves;
  }

  #run(session: Session, program: StepProgram, given: Feeds, leaves: Leaves): ReturnType<Session['run']> {
    checkSignal(this.#options.signal);
    const feeds = new Map(given);
    for (const [weight, leaf] of leaves)
      feeds.set(program.leaves.get(weight)!.input, floatArray(weight.leafShape, leaf));
    return session.run(feeds);
  }
}

const lossOf = (program: StepProgram, outputs: Awaited<ReturnType<Session['run']>>): RunLoss => {
  const read = (name: string): number => Number(outputs.get(name)?.data[0] ?? Number.NaN);
  return {
    loss: read(program.loss),
    parts: Object.fromEntries(program.parts.map(({ name, output }) => [name, read(output)])),
  };
};
