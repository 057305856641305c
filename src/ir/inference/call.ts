import type { DataType } from '../data-type.ts';
import type { Graph, Node, Value } from '../graph.ts';
import type { Dim, Shape, ValueType } from '../shape.ts';
import type { Fact } from './fact.ts';

/** A node whose inputs contradict each other or its operator's rules. */
export class InferenceProblem extends Error {}

/** What a rule may ask: the node, the version of its operator set, and what is known of its inputs. */
export interface CallScope {
  /** Versions of all operator sets in use; '' is the standard one. */
  readonly opsets: ReadonlyMap<string, number>;
  factOf(value: Value): Fact;
  /** Infers a body inside a node, given what is known of its inputs; returns what is known of its outputs. */
  inferBody(body: Graph, inputs: readonly (Fact | undefined)[]): readonly Fact[];
}

export class Call {
  readonly node: Node;
  readonly scope: CallScope;
  /** Version of the operator set that the node's operator comes from. */
  readonly opset: number;

  readonly #view: 'whole' | 'element-types';

  /** @param view with 'element-types', shapes and contents are hidden: what remains to be said after a problem with them. */
  constructor(node: Node, scope: CallScope, view: 'whole' | 'element-types' = 'whole') {
    this.node = node;
    this.scope = scope;
    this.#view = view;
    this.opset = scope.opsets.get(node.domain === 'ai.onnx' ? '' : node.domain) ?? 1;
  }

  /** Whether optional input `index` is given. */
  has(index: number): boolean {
    return this.node.inputs[index] !== undefined;
  }

  fact(index: number): Fact | undefined {
    const value = this.node.inputs[index];
    const fact = value && this.scope.factOf(value);
    if (this.#view === 'whole' || fact?.type?.kind !== 'tensor') return fact;
    return { type: { ...fact.type, shape: undefined } };
  }

  type(index: number): ValueType | undefined {
    return this.fact(index)?.type;
  }

  /** Element type of tensor input `index`. */
  dtype(index: number): DataType | undefined {
    const type = this.type(index);
    return type?.kind === 'tensor' || type?.kind === 'sparse-tensor' ? type.dtype : undefined;
  }

  /** Shape of tensor input `index`; undefined when the rank is unknown or the input missing. */
  shape(index: number): Shape | undefined {
    const type = this.type(index);
    return type?.kind === 'tensor' || type?.kind === 'sparse-tensor' ? type.shape : undefined;
  }

  /** Elements of tensor input `index`, where they are followed. */
  contents(index: number): readonly Dim[] | undefined {
    return this.fact(index)?.contents;
  }

  /** Elements of tensor input `index` when all are numbers. */
  numbers(index: number): readonly number[] | undefined {
    const contents = this.contents(index);
    return contents?.every((element) => typeof element === 'number') ? contents : undefined;
  }

  /** The axes of an operator that takes them as an attribute or, in later operator sets, as input `index`. */
  axes(index: number, attribute = 'axes'): readonly number[] | 'absent' | 'unknown' {
    const fixed = this.node.ints(attribute);
    if (fixed) return fixed;
    if (!this.has(index)) return 'absent';
    return this.numbers(index) ?? 'unknown';
  }

  /** @throws InferenceProblem when the rank is known and not `rank`. */
  shapeOfRank(index: number, rank: number): Shape | undefined {
    const shape = this.shape(index);
    if (shape && shape.length !== rank)
      this.problem(`input ${index} has rank ${shape.length}, ${this.node.op} needs rank ${rank}`);
    return shape;
  }

  /** The axis counted from the front. @throws InferenceProblem when it lies outside. */
  axis(axis: number, rank: number): number {
    const counted = axis < 0 ? axis + rank : axis;
    if (counted < 0 || counted >= rank) this.problem(`axis ${axis} lies outside rank ${rank}`);
    return counted;
  }

  problem(message: string): never {
    throw new InferenceProblem(message);
  }
}

/** Infers the outputs of one operator; missing entries are outputs of which nothing is known. */
export type Rule = (call: Call) => readonly (Fact | undefined)[];

/** Rules by operator name. */
export type RuleTable = Readonly<Record<string, Rule>>;
