import type { Node, Value } from '../../../../ir/graph.ts';
import type { Shape } from '../../../../ir/shape.ts';
import type { Pattern, Tie } from './pattern.ts';

/** A constant input of a node that takes up factors, where they stand, in the rank of the pattern. */
export interface ScaledConstant {
  readonly node: Node;
  readonly index: number;
  readonly pattern: Pattern;
}

/** What has to be scaled for a value to come out scaled. */
export interface Traced {
  readonly constants: readonly ScaledConstant[];
  readonly ties: readonly Tie[];
}

/** All parts together; undefined when one of them cannot be had. */
export const together = (...parts: readonly (Traced | undefined)[]): Traced | undefined => {
  const found = parts.filter((part) => part !== undefined);
  if (found.length < parts.length) return undefined;
  return { constants: found.flatMap((part) => part.constants), ties: found.flatMap((part) => part.ties) };
};

/** What a rule sees of a node whose output is to come out scaled. */
export interface TraceStep {
  readonly node: Node;
  /** The factors of the output. */
  readonly pattern: Pattern;
  /** Index of that output. */
  readonly output: number;
  shape(value: Value | undefined): Shape | undefined;
  isConstant(index: number): boolean;
  /** The input has to come out scaled: the trace goes on there, or ends at a constant. */
  scale(index: number, pattern: Pattern | undefined): Traced | undefined;
  /** The same, for an input that is broadcast to the output: along axes where it has one element, factors become equal. */
  scaleBroadcast(index: number): Traced | undefined;
}

/** How an operator hands factors of its output on to its inputs; undefined when it cannot. */
export type ScalingRule = (step: TraceStep) => Traced | undefined;
