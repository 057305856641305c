import { checkSignal } from '../execution/interrupt.ts';
import type { Engine, Feeds, Session, SessionOptions } from '../execution/session.ts';
import { type BlockwiseOptions, openBlockwiseStep } from './blockwise-step.ts';
import { ParameterSet } from './parameters.ts';
import { lossOf, type RunLoss } from './run-loss.ts';
import { type BatchParts, type Leaves, openWholeStep, type StepGradients, withLeaves } from './step-gradients.ts';
import type { StepProgram } from './step-program.ts';
import type { TrainedWeight } from './weights/weight.ts';

/** The two programs of an objective: a step with gradients, and the loss alone. */
export interface ObjectivePrograms {
  readonly step: StepProgram;
  readonly judge: StepProgram;
}

export interface StepRunnerOptions {
  readonly weights: readonly TrainedWeight[];
  readonly programs: ObjectivePrograms;
  readonly engine: Engine;
  readonly session: SessionOptions;
  /** Take gradients block by block, for steps whose activations do not fit into memory; undefined: all at once. */
  readonly blockwise?: BlockwiseOptions | undefined;
  readonly signal: AbortSignal;
}

/**
 * Runs the programs of an objective under the present parameters. Weights are read by the session where the optimizer
 * changes them; each gradient comes out as one array, which the engine copies once out of its own memory.
 */
export class StepRunner {
  readonly parameters: ParameterSet;
  readonly #options: StepRunnerOptions;
  readonly #step: StepGradients;
  readonly #judge: Session;

  private constructor(options: StepRunnerOptions, step: StepGradients, judge: Session) {
    this.#options = options;
    this.#step = step;
    this.#judge = judge;
    this.parameters = new ParameterSet(options.weights.flatMap((weight) => weight.parameters));
  }

  /** Loads both programs; close it afterwards. */
  static async open(options: StepRunnerOptions): Promise<StepRunner> {
    const { engine, session, programs, blockwise } = options;
    const step = blockwise
      ? openBlockwiseStep(programs.judge, engine, blockwise)
      : await openWholeStep(programs.step, engine, session);
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

  /** Losses of all parts of a batch and the sum of their gradients, by parameter in the order of `parameters.entries`. */
  async gradient(parts: BatchParts): Promise<{ losses: readonly RunLoss[]; gradients: Float32Array[] }> {
    const { weights } = this.#options;
    const { losses, sums } = await this.#step.of(parts, await this.leaves());
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
    const { programs, weights } = this.#options;
    const leaves = new Map<TrainedWeight, Float32Array>();
    for (const weight of weights) {
      const values = this.valuesOf(weight);
      leaves.set(weight, await (weight.judgedLeaf?.(values) ?? weight.leaf(values)));
    }
    const losses: RunLoss[] = [];
    for await (const feeds of parts) {
      checkSignal(this.#options.signal);
      losses.push(lossOf(programs.judge, await this.#judge.run(withLeaves(feeds, programs.judge, leaves))));
    }
    return losses;
  }

  /** What each weight is fed as under the present parameters; valid until they change. */
  async leaves(): Promise<Leaves> {
    const leaves = new Map<TrainedWeight, Float32Array>();
    for (const weight of this.#options.weights) leaves.set(weight, await weight.leaf(this.valuesOf(weight)));
    return leaves;
  }
}
