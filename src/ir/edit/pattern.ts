import { internalError } from '../../errors.ts';
import type { Node, Value } from '../graph.ts';
import { readScalar } from '../read.ts';
import { elementCount } from '../shape.ts';
import { constantOf } from '../walk.ts';
import { type InsertFields, insertNode } from './replace.ts';

/**
 * Shapes of subgraphs to look for, written from the last node backwards:
 *
 *   const rootMeanSquare = node('Div', [any('x'), node('Sqrt', [node('Add', [node('ReduceMean', …), constant('epsilon')])])]);
 *   const match = matchPattern(rootMeanSquare, someDiv);   // match.values.get('x'), match.scalar('epsilon'), match.nodes
 *
 * A name stands for one value wherever it occurs. Nodes inside a pattern must be read by the pattern alone, so that
 * the match can be replaced as a whole.
 */
export type Pattern =
  | { readonly kind: 'any'; readonly name: string }
  | { readonly kind: 'constant'; readonly name: string; readonly scalar: boolean }
  | {
      readonly kind: 'node';
      readonly ops: readonly string[];
      readonly inputs: readonly Pattern[];
      readonly name: string | undefined;
      readonly anyOrder: boolean;
      readonly accepts: ((node: Node) => boolean) | undefined;
    };

/** Any value. */
export const any = (name: string): Pattern => ({ kind: 'any', name });

/** A constant. */
export const constant = (name: string): Pattern => ({ kind: 'constant', name, scalar: false });

/** A constant of one element. */
export const scalarConstant = (name: string): Pattern => ({ kind: 'constant', name, scalar: true });

export interface NodePatternOptions {
  /** Under which the node is found in the match. */
  readonly name?: string;
  /** A further condition (attributes, shapes). */
  readonly accepts?: (node: Node) => boolean;
}

/** The output of a node of the standard domain with these leading inputs. Add and Mul match in either order. */
export const node = (
  op: string | readonly string[],
  inputs: readonly Pattern[],
  options: NodePatternOptions = {},
): Pattern => {
  const ops = typeof op === 'string' ? [op] : op;
  const anyOrder = inputs.length === 2 && ops.every((name) => name === 'Add' || name === 'Mul');
  return { kind: 'node', ops, inputs, name: options.name, anyOrder, accepts: options.accepts };
};

/** What a pattern matched. */
export interface Match {
  readonly values: ReadonlyMap<string, Value>;
  readonly named: ReadonlyMap<string, Node>;
  /** All matched nodes, the last one first. */
  readonly nodes: readonly Node[];
  /** The number in a matched constant of one element. */
  scalar(name: string): number;
}

interface State {
  readonly values: ReadonlyMap<string, Value>;
  readonly named: ReadonlyMap<string, Node>;
  readonly nodes: readonly Node[];
}

/** Matches a pattern whose last node is `last`; undefined where it does not fit. */
export const matchPattern = (pattern: Pattern, last: Node): Match | undefined => {
  if (pattern.kind !== 'node') return undefined;
  const state = matchNode(pattern, last, { values: new Map(), named: new Map(), nodes: [] });
  if (!state || !isClosed(state.nodes, last)) return undefined;
  return {
    values: state.values,
    named: state.named,
    nodes: [...new Set(state.nodes)],
    scalar: (name) => {
      const tensor = constantOf(state.values.get(name));
      return tensor ? readScalar(tensor) : Number.NaN;
    },
  };
};

const matchNode = (pattern: Pattern & { kind: 'node' }, found: Node, state: State): State | undefined => {
  if (found.domain !== '' || !pattern.ops.includes(found.op) || pattern.accepts?.(found) === false) return undefined;
  const next: State = {
    ...state,
    named: pattern.name === undefined ? state.named : new Map([...state.named, [pattern.name, found]]),
    nodes: [...state.nodes, found],
  };
  const straight = matchInputs(pattern.inputs, found.inputs, next);
  return straight ?? (pattern.anyOrder ? matchInputs(pattern.inputs, [...found.inputs].reverse(), next) : undefined);
};

const matchInputs = (
  patterns: readonly Pattern[],
  values: readonly (Value | undefined)[],
  state: State,
): State | undefined => {
  let current: State | undefined = state;
  for (const [index, pattern] of patterns.entries()) current = current && matchValue(pattern, values[index], current);
  return current;
};

const matchValue = (pattern: Pattern, value: Value | undefined, state: State): State | undefined => {
  if (!value) return undefined;
  if (pattern.kind === 'node') return value.producer && matchNode(pattern, value.producer, state);
  const known = state.values.get(pattern.name);
  if (known && known !== value) return undefined;
  if (pattern.kind === 'constant') {
    const tensor = constantOf(value);
    if (!tensor || (pattern.scalar && elementCount(tensor.shape) !== 1)) return undefined;
  }
  return { ...state, values: new Map([...state.values, [pattern.name, value]]) };
};

/** Puts one node in the place of a match; its first output is the value that the match gave. */
export const replaceMatch = (match: Match, replacement: Omit<InsertFields, 'outputs'>): Node => {
  const [last] = match.nodes;
  const output = last?.outputs[0];
  if (!last?.graph || !output) throw internalError('a match without a last node cannot be replaced');
  const { graph } = last;
  const made = insertNode({ ...replacement, outputs: [] }, { graph, before: last });
  last.setOutput(0, undefined);
  made.setOutput(0, output);
  graph.remove(...match.nodes);
  return made;
};

/** Every matched node but the last is read by matched nodes alone and gives no graph output. */
const isClosed = (nodes: readonly Node[], last: Node): boolean => {
  const inside = new Set(nodes);
  return [...inside].every(
    (found) =>
      found === last ||
      found.outputs.every(
        (value) => !value || (value.uses.every((use) => inside.has(use.node)) && !found.graph?.outputs.includes(value)),
      ),
  );
};
