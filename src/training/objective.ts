import type { ParameterSet } from './parameters.ts';

/** What one batch gave. */
export interface BatchLoss {
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  /** Items (tokens, images) that the batch held. */
  readonly items: number;
  /** What the batch was made of, for messages: 'samples 3, 7, 12 of text:…'. */
  readonly description: string;
}

export interface BatchGradient extends BatchLoss {
  /** By parameter, in the order of `parameters.entries`. */
  readonly gradients: readonly Float32Array[];
}

/** What training makes smaller. All results follow from the parameters, the step number and what it remembers. */
export interface Objective {
  readonly parameters: ParameterSet;
  /** Mean loss of the batch of a step (from 1) and its gradient under the present parameters. */
  gradient(step: number): Promise<BatchGradient>;
  /** The figure to judge by (lower is better) under the present parameters; undefined where nothing is held out. */
  validate(): Promise<number | undefined>;
  /** What it remembers beside the parameters, as bits that a checkpoint keeps. */
  readonly memory?: Memory | undefined;
}

export interface Memory {
  toBits(): Float32Array;
  restore(bits: Float32Array): void;
}
