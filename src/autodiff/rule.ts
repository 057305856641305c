import type { OperatorBuilder } from '../ir/build.ts';
import type { Node, Value } from '../ir/graph.ts';

/** What a gradient rule works with: one node of the forward graph and the gradients that reach its outputs. */
export interface RuleContext {
  readonly node: Node;
  readonly build: OperatorBuilder;
  /** ∂loss/∂output by output index; undefined where the loss does not depend on that output. At least one is set. */
  readonly gradients: readonly (Value | undefined)[];
  /** True when ∂loss/∂input is needed: rules skip the others. */
  wants(index: number): boolean;
  /** Input that must exist. */
  input(index: number): Value;
  /** Output that must exist. */
  output(index: number): Value;
  /** ∂loss/∂value of a value that this node's outputs lead to; undefined where the loss does not depend on it. */
  gradientOf(value: Value): Value | undefined;
  /** ∂loss/∂output 0, for operators with one output. */
  readonly gradient: Value;
}

/**
 * The gradient rule of one operator: appends nodes that compute ∂loss/∂input for every wanted input and returns them by
 * input index (undefined for inputs without a gradient). The gradient of an input has exactly that input's shape.
 */
export type Rule = (context: RuleContext) => readonly (Value | undefined)[];
