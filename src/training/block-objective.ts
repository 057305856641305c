import type { NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { arrayFromBytes, bytesOfArray, floatArray } from '../execution/arrays.ts';
import type { Engine, Feeds, SessionOptions } from '../execution/session.ts';
import type { OperatorBuilder } from '../ir/build.ts';
import { byteLengthOf } from '../ir/data-type.ts';
import { intAttribute, type Program, type Value } from '../ir/graph.ts';
import { elementCount, tensorType } from '../ir/shape.ts';
import type { Tensor } from '../ir/tensor.ts';
import { SampleOrder } from './batches.ts';
import { type ChannelAxis, vectorsOf, widthOf } from './loss-graph.ts';
import type { BatchGradient, Objective } from './objective.ts';
import type { ParameterSet } from './parameters.ts';
import type { RunLoss } from './run-loss.ts';
import { buildStepProgram, type LossContext, type LossPart } from './step-program.ts';
import { type ObjectivePrograms, StepRunner } from './step-runner.ts';
import type { TrainedWeight } from './weights/weight.ts';

/** A value of a block that is to become what it was before compression. */
export interface BlockOutput {
  readonly value: Value;
  /**
   * B (width, width): an error δ of a vector along the axis of channels counts ½·δᵀBδ nats. undefined: |δ|² relative to
   * the mean square of the target.
   */
  readonly weighting: { readonly matrix: Float32Array; readonly channels: ChannelAxis } | undefined;
}

/** Arrays of one run of the model: what goes into the block, and what its outputs should be. */
export interface BlockRun {
  readonly inputs: Feeds;
  /** By the name of the output. */
  readonly targets: ReadonlyMap<string, NumericArray>;
}

export interface BlockObjectiveOptions {
  /** The block as a program of its own, types known. */
  readonly program: Program;
  readonly weights: ReadonlyMap<Value, TrainedWeight>;
  readonly outputs: readonly BlockOutput[];
  readonly runOf: (run: number) => BlockRun;
  readonly train: readonly number[];
  readonly held: readonly number[];
  readonly batch: number;
  /** Told of every step before its gradient is taken. */
  beforeStep?(step: number): void;
  readonly seed: number;
  readonly engine: Engine;
  readonly session: SessionOptions;
  readonly signal: AbortSignal;
}

const targetName = (index: number): string => `train/target-${index}`;
const totalName = (index: number): string => `train/total-${index}`;

/** ½ Σ δᵀBδ over the vectors of an output, or Σ δ² over its numbers, divided by what is fed as their total. */
const errorOf = ({ build, input, inStep }: LossContext, output: BlockOutput, index: number): LossPart => {
  const own = inStep(output.value);
  const target = input(targetName(index), own.type?.kind === 'tensor' ? own.type : tensorType('float32'));
  const total = input(totalName(index), tensorType('float32', []));
  const error = build.typed(build.subtract(own, target), own.type);
  const squares = output.weighting ? weighed(build, error, output.weighting) : build.multiply(error, error);
  const sum = build.call('ReduceSum', [squares], { keepdims: intAttribute(0) });
  const value = build.divide(build.typed(sum, tensorType('float32', [])), total);
  return { name: output.value.name, value, weight: 1 };
};

/** ½ (δ B) ∘ δ: its sum is ½ Σ δᵀBδ. */
const weighed = (
  build: OperatorBuilder,
  error: Value,
  { matrix, channels }: NonNullable<BlockOutput['weighting']>,
): Value => {
  const vectors = vectorsOf(build, error, channels);
  const width = widthOf(vectors);
  const type = tensorType('float32', [null, width]);
  const rows = build.typed(build.reshape(vectors, build.integers([-1, width])), type);
  const product = build.call('MatMul', [rows, build.floats([width, width], matrix, 'float32')]);
  return build.multiply(build.typed(build.scale(product, 0.5), type), rows);
};

/** The programs of a block's training. @throws as `buildStepProgram`. */
const programsOf = ({ program, weights, outputs }: BlockObjectiveOptions): ObjectivePrograms => {
  const request = {
    program,
    weights,
    extra: [],
    buildLoss: (context: LossContext) => outputs.map((output, index) => errorOf(context, output, index)),
  };
  return {
    step: buildStepProgram({ ...request, gradients: 'wanted' }),
    judge: buildStepProgram({ ...request, gradients: 'left-out' }),
  };
};

const sumOfSquares = (data: ArrayLike<number>): number => {
  let sum = 0;
  for (let index = 0; index < data.length; index++) sum += data[index]! ** 2;
  return sum;
};

const sameBytes = (a: NumericArray, b: NumericArray): boolean =>
  a.shape.join() === b.shape.join() && Buffer.compare(bytesOfArray(a), bytesOfArray(b)) === 0;

const concatenated = (arrays: readonly NumericArray[]): NumericArray => {
  const [first] = arrays as readonly [NumericArray, ...NumericArray[]];
  const shape = [arrays.reduce((sum, { shape }) => sum + shape[0]!, 0), ...first.shape.slice(1)];
  const bytes = new Uint8Array(byteLengthOf(first.dtype, elementCount(shape)));
  let at = 0;
  for (const array of arrays) {
    bytes.set(bytesOfArray(array), at);
    at += array.data.byteLength;
  }
  return arrayFromBytes(first.dtype, shape, bytes);
};

/** Whether a value's first axis is a batch: it has a name, not a number. */
const isBatched = (value: Value | undefined): boolean =>
  value?.type?.kind === 'tensor' && typeof value.type.shape?.[0] === 'string';

/**
 * Makes a block, fed with what the compressed blocks before it give, compute what the original block computes from the
 * original inputs (block reconstruction: Li et al. 2021, BRECQ, section 3.2).
 */
export class BlockObjective implements Objective {
  readonly parameters: ParameterSet;
  readonly #options: BlockObjectiveOptions;
  readonly #runner: StepRunner;
  readonly #order: SampleOrder;
  readonly #batchedInputs: ReadonlySet<string>;

  private constructor(options: BlockObjectiveOptions, runner: StepRunner) {
    this.#options = options;
    this.#runner = runner;
    this.#order = new SampleOrder(options.train, options.seed);
    this.parameters = runner.parameters;
    this.#batchedInputs = new Set(options.program.graph.inputs.filter(isBatched).map(({ name }) => name));
  }

  /** Loads the programs; close it afterwards. @throws as `buildStepProgram`. */
  static async open(options: BlockObjectiveOptions): Promise<BlockObjective> {
    const { engine, session, signal } = options;
    const weights = [...options.weights.values()];
    const programs = programsOf(options);
    return new BlockObjective(options, await StepRunner.open({ weights, programs, engine, session, signal }));
  }

  close(): Promise<void> {
    return this.#runner.close();
  }

  async gradient(step: number): Promise<BatchGradient> {
    const { batch, beforeStep } = this.#options;
    beforeStep?.(step);
    const runs = this.#order.take((step - 1) * batch, step * batch);
    const feeds = [...this.#feeds(runs)];
    const { losses, gradients } = await this.#runner.gradient({ count: feeds.length, feeds });
    return { ...sumOf(losses), items: runs.length, description: `runs ${runs.join(', ')}`, gradients };
  }

  async validate(): Promise<number | undefined> {
    const { held } = this.#options;
    if (held.length === 0) return undefined;
    return sumOf(await this.#runner.judge(this.#feeds(held))).loss;
  }

  /** The constants of the block under the present parameters. */
  async tensors(): Promise<Map<Value, Tensor>> {
    const found = new Map<Value, Tensor>();
    for (const [value, weight] of this.#options.weights)
      found.set(value, await weight.tensor(this.#runner.valuesOf(weight)));
    return found;
  }

  /** Runs as one batch where their inputs allow it, else one by one; totals are those of all of them. */
  *#feeds(runs: readonly number[]): Generator<Feeds> {
    const { outputs, runOf } = this.#options;
    const all = runs.map((run) => runOf(run));
    const totals = outputs.map(({ value, weighting }): number => {
      const targets = all.map(({ targets }) => targetOf(targets, value.name));
      if (!weighting)
        return Math.max(
          1e-30,
          targets.reduce((sum, { data }) => sum + sumOfSquares(data as Float32Array), 0),
        );
      return targets.reduce((sum, { data }) => sum + data.length, 0) / Math.sqrt(weighting.matrix.length);
    });
    for (const part of this.#joinable(all) ? [all] : all.map((run) => [run])) {
      const feeds = new Map<string, NumericArray>();
      for (const [name, first] of part[0]!.inputs)
        feeds.set(
          name,
          this.#batchedInputs.has(name) ? concatenated(part.map(({ inputs }) => inputs.get(name)!)) : first,
        );
      outputs.forEach(({ value }, index) => {
        feeds.set(targetName(index), concatenated(part.map(({ targets }) => targetOf(targets, value.name))));
        feeds.set(totalName(index), floatArray([], Float32Array.of(totals[index]!)));
      });
      yield feeds;
    }
  }

  #joinable(runs: readonly BlockRun[]): boolean {
    const [first, ...others] = runs as readonly [BlockRun, ...BlockRun[]];
    if (others.length === 0 || !this.#options.outputs.every(({ value }) => isBatched(value))) return false;
    return [...first.inputs].every(([name, array]) =>
      others.every(({ inputs }) => {
        const other = inputs.get(name)!;
        return this.#batchedInputs.has(name)
          ? other.shape.slice(1).join() === array.shape.slice(1).join()
          : sameBytes(other, array);
      }),
    );
  }
}

const targetOf = (targets: ReadonlyMap<string, NumericArray>, name: string): NumericArray => {
  const target = targets.get(name);
  if (target) return target;
  throw internalError(`there is no target for ${name}`);
};

const sumOf = (losses: readonly RunLoss[]): RunLoss => {
  const parts: Record<string, number> = {};
  for (const loss of losses)
    for (const [name, value] of Object.entries(loss.parts)) parts[name] = (parts[name] ?? 0) + value;
  return { loss: losses.reduce((sum, { loss }) => sum + loss, 0), parts };
};
