import type { NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { floatArray, floatsOfArray } from '../execution/arrays.ts';
import { checkSignal } from '../execution/interrupt.ts';
import type { Engine, Feeds, Session, SessionOptions } from '../execution/session.ts';
import { addInto, sumOfSquares } from '../kernels/index.ts';
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

/** Factors of the loss that are tried, until no gradient overflows half precision (Micikevicius et al. 2018, 3.2). */
const lossScales = [2 ** 14, 2 ** 10, 2 ** 5, 1, 2 ** -6, 2 ** -12] as const;

interface PartGradients {
  readonly loss: RunLoss;
  readonly gradients: ReadonlyMap<TrainedWeight, Float32Array>;
}

/** Runs a part, with the greatest factor of the loss that leaves gradients finite. */
const runScaled = async (session: Session, program: StepProgram, feeds: Feeds): Promise<PartGradients> => {
  const { lossScale } = program;
  if (lossScale === undefined) return readPart(program, await session.run(feeds));
  let found: PartGradients | undefined;
  for (const factor of lossScales) {
    const scaled = new Map([...feeds, [lossScale, floatArray([], Float32Array.of(factor))] as const]);
    found = readPart(program, await session.run(scaled));
    if (Number.isFinite(sumOfSquares([...found.gradients.values()]))) break;
  }
  return found!;
};

const readPart = (program: StepProgram, outputs: ReadonlyMap<string, NumericArray>): PartGradients => {
  const gradients = new Map<TrainedWeight, Float32Array>();
  for (const [weight, { gradient }] of program.leaves) {
    const array = gradient === undefined ? undefined : outputs.get(gradient);
    if (!array) throw internalError(`there is no gradient of ${weight.name}`);
    gradients.set(weight, floatsOfArray(array));
  }
  return { loss: lossOf(program, outputs), gradients };
};

/** Gradients by one program that computes the loss and goes back through all of it. */
export const openWholeStep = async (
  program: StepProgram,
  engine: Engine,
  options: SessionOptions,
): Promise<StepGradients> => {
  const session: Session = await engine.open(program.program, { ...options, memory: 'lean' });
  return {
    of: async (parts, leaves) => {
      const sums = new Map<TrainedWeight, Float32Array>();
      const losses: RunLoss[] = [];
      for await (const given of parts.feeds) {
        checkSignal(options.signal);
        const { loss, gradients } = await runScaled(session, program, withLeaves(given, program, leaves));
        losses.push(loss);
        for (const [weight, gradient] of gradients) addGradient(sums, weight, gradient);
      }
      return { losses, sums };
    },
    close: () => session.close(),
  };
};
