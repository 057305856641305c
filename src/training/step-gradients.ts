import { internalError } from '../errors.ts';
import { floatArray, floatsOfArray } from '../execution/arrays.ts';
import { checkSignal } from '../execution/interrupt.ts';
import type { Engine, Feeds, Session, SessionOptions } from '../execution/session.ts';
import { addInto } from '../kernels/index.ts';
import { lossOf, type RunLoss } from './run-loss.ts';
import type { StepProgram } from './step-program.ts';
import type { TrainedWeight } from './weights/weight.ts';

/** What sessions are fed with for each weight. */
export type Leaves = ReadonlyMap<TrainedWeight, Float32Array>;

/** The parts of a batch: feeds of the data inputs, one part at a time. */
export interface BatchParts {
  readonly count: number;
  readonly feeds: AsyncIterable<Feeds> | Iterable<Feeds>;
}

/** Losses of the parts, and the sum of their gradients by what is fed for each weight. */
export interface LeafGradients {
  readonly losses: readonly RunLoss[];
  readonly sums: ReadonlyMap<TrainedWeight, Float32Array>;
}

/** What takes the gradients of a step. */
export interface StepGradients {
  of(parts: BatchParts, leaves: Leaves): Promise<LeafGradients>;
  close(): Promise<void>;
}

/** Feeds of a part with the weights as they are. */
export const withLeaves = (given: Feeds, program: StepProgram, leaves: Leaves): Feeds => {
  const feeds = new Map(given);
  for (const [weight, leaf] of leaves) feeds.set(program.leaves.get(weight)!.input, floatArray(weight.leafShape, leaf));
  return feeds;
};

/** Adds a gradient to the sum for its weight; the first one becomes the sum. */
export const addGradient = (
  sums: Map<TrainedWeight, Float32Array>,
  weight: TrainedWeight,
  more: Float32Array,
): void => {
  const known = sums.get(weight);
  if (known) addInto(known, more);
  else sums.set(weight, more);
};

/** Gradients by one program that computes the loss and goes back through all of it. */
export const openWholeStep = async (
  program: StepProgram,
  engine: Engine,
  options: SessionOptions,
): Promise<StepGradients> => {
  const session: Session = await engine.open(program.program, options);
  return {
    of: async (parts, leaves) => {
      const sums = new Map<TrainedWeight, Float32Array>();
      const losses: RunLoss[] = [];
      for await (const given of parts.feeds) {
        checkSignal(options.signal);
        const outputs = await session.run(withLeaves(given, program, leaves));
        losses.push(lossOf(program, outputs));
        for (const [weight, { gradient }] of program.leaves) {
          const array = gradient === undefined ? undefined : outputs.get(gradient);
          if (!array) throw internalError(`there is no gradient of ${weight.name}`);
          addGradient(sums, weight, floatsOfArray(array));
        }
      }
      return { losses, sums };
    },
    close: () => session.close(),
  };
};
