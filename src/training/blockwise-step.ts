import { walkBackward } from '../autodiff/blockwise/block-backward.ts';
import type { NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import type { Engine, Feeds } from '../execution/session.ts';
import { cloneProgram } from '../ir/clone.ts';
import type { Program, Value } from '../ir/graph.ts';
import { floatTensor } from '../ir/read.ts';
import { tensorType } from '../ir/shape.ts';
import { lossOf, type RunLoss } from './run-loss.ts';
import { addGradient, type StepGradients } from './step-gradients.ts';
import type { StepProgram } from './step-program.ts';
import type { TrainedWeight } from './weights/weight.ts';

/** Where and how the blocks of a step are walked. */
export interface BlockwiseOptions {
  /** Bytes of what passes between blocks that may be in memory; beyond it, it is spilled to the scratch folder. */
  readonly maxMemoryBytes: number;
  readonly scratch: { readonly directory: string };
  readonly signal: AbortSignal;
}

/** A program that computes the loss, with its weights as constants, so that they belong to the blocks that read them. */
export interface BlockwiseProgram {
  readonly program: Program;
  readonly constants: ReadonlyMap<TrainedWeight, Value>;
}

/** Makes constants of the weights of a program without gradients; their numbers are set before every walk. */
export const blockwiseProgram = ({ program: original, leaves }: StepProgram): BlockwiseProgram => {
  const program = cloneProgram(original);
  const { graph } = program;
  const constants = new Map<TrainedWeight, Value>();
  for (const [weight, { input }] of leaves) {
    const place = graph.inputs.findIndex(({ name }) => name === input);
    const [value] = graph.inputs.splice(place, 1);
    if (place < 0 || !value) throw internalError(`${input} is no input of the step`);
    value.tensor = floatTensor(weight.leafShape, new Float32Array(weight.leafShape.reduce((a, b) => a * b, 1)));
    value.type = tensorType('float32', weight.leafShape);
    graph.initializers.add(value);
    constants.set(weight, value);
  }
  return { program, constants };
};

/**
 * Gradients of a step with the activations of one block in memory: each block computes its own again on the way back
 * (Chen et al. 2016). The numbers are those of the whole step up to rounding; every part of the step is run twice.
 * @param forward the program of the loss without gradients.
 */
export const openBlockwiseStep = (forward: StepProgram, engine: Engine, options: BlockwiseOptions): StepGradients => {
  const { program, constants } = blockwiseProgram(forward);
  const outputOf = (name: string): Value => {
    const value = program.graph.outputs.find((output) => output.name === name);
    if (!value) throw internalError(`the step has no output ${name}`);
    return value;
  };
  const loss = outputOf(forward.loss);
  const watch = [...new Set([loss, ...forward.parts.map(({ output }) => outputOf(output))])];
  return {
    of: async ({ count, feeds }, leaves) => {
      for (const [weight, leaf] of leaves) constants.get(weight)!.tensor = floatTensor(weight.leafShape, leaf);
      const next = reader(feeds);
      const weightOf = new Map([...constants].map(([weight, value]) => [value, weight]));
      const sums = new Map<TrainedWeight, Float32Array>();
      const seen = Array.from({ length: count }, () => new Map<string, NumericArray>());
      await walkBackward(
        {
          ...options,
          program,
          loss,
          of: [...constants.values()],
          watch,
          engine,
          runCount: count,
          feeds: next,
          task: 'step',
          emit: () => undefined,
        },
        ({ run, gradients, values }) => {
          for (const [value, array] of values) seen[run]!.set(value.name, array);
          for (const [value, array] of gradients) addGradient(sums, weightOf.get(value)!, floatsOfArray(array).slice());
        },
      );
      return { losses: seen.map((values): RunLoss => lossOf(forward, values)), sums };
    },
    close: async () => undefined,
  };
};

/** Gives the parts one after the other, as they are asked for. */
const reader = (parts: AsyncIterable<Feeds> | Iterable<Feeds>): (() => Promise<Feeds>) => {
  const iterator = Symbol.asyncIterator in parts ? parts[Symbol.asyncIterator]() : parts[Symbol.iterator]();
  return async () => {
    const { done, value } = await iterator.next();
    if (done) throw internalError('a batch has fewer parts than it said');
    return value;
  };
};
