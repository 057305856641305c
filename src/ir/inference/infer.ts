import { CompressError } from '../../errors.ts';
import { cloneGraph } from '../clone.ts';
import type { FunctionDefinition, Graph, Node, Program, Value } from '../graph.ts';
import { formatShape, type Shape, type ValueType } from '../shape.ts';
import { printType } from '../text/types.ts';
import { nodesWithin } from '../walk.ts';
import { Call, type CallScope, InferenceProblem, type Rule } from './call.ts';
import { type Fact, unknownFact } from './fact.ts';
import { constantFact } from './generators.ts';
import { contradicts, mergeTypes } from './merge.ts';
import { ruleFor } from './table.ts';

export interface InferenceOptions {
  /** Shapes of inputs by name, in place of the stated ones. */
  readonly inputShapes?: ReadonlyMap<string, Shape>;
  /**
   * 'check' (default): types stated for computed values fill what inference leaves open, and contradictions are
   * reported. 'replace': they are ignored, except for outputs of unknown operators (after edits that change shapes).
   * With `inputShapes` the default is 'replace'.
   */
  readonly statedTypes?: 'check' | 'replace';
}

/** An operator that inference has no rule for, and the nodes that use it. */
interface UnknownOperator {
  readonly domain: string;
  readonly op: string;
  /** Names of the nodes, or of their first outputs where they have none. */
  readonly nodes: readonly string[];
}

export interface InferenceReport {
  readonly unknownOperators: readonly UnknownOperator[];
  /** Nodes whose inputs do not go together (shapes or element types), and missing or bad attributes. */
  readonly problems: readonly CompressError[];
  /** Values whose stated type contradicts the inferred one. */
  readonly contradictions: readonly CompressError[];
}

export interface Inference {
  readonly facts: ReadonlyMap<Value, Fact>;
  readonly report: InferenceReport;
}

/** A node's name, or that of its first output. */
export const labelOf = (node: Node): string => node.name || (node.outputs.find((value) => value)?.name ?? node.op);

const deepestCall = 32;

/** Finds what can be known of every value of a program, without changing it. */
export const inferFacts = (program: Program, options: InferenceOptions = {}): Inference => {
  const run = new Run(program, options.statedTypes ?? (options.inputShapes ? 'replace' : 'check'));
  run.graph(
    program.graph,
    program.graph.inputs.map((value) => inputFact(value, options.inputShapes)),
    program.opsets,
  );
  checkInputNames(program.graph, options.inputShapes);
  return { facts: run.facts, report: run.report() };
};

const checkInputNames = (graph: Graph, shapes: ReadonlyMap<string, Shape> | undefined): void => {
  for (const name of shapes?.keys() ?? [])
    if (!graph.inputs.some((value) => value.name === name))
      throw new CompressError({
        code: 'usage',
        message: `a shape is given for ${JSON.stringify(name)}, which is no input of the model`,
        hint: `Inputs are: ${graph.inputs.map((value) => value.name).join(', ')}.`,
      });
};

const inputFact = (value: Value, shapes: ReadonlyMap<string, Shape> | undefined): Fact => {
  if (value.tensor) return constantFact(value.tensor);
  const given = shapes?.get(value.name);
  const stated = value.type;
  if (!given) return { type: withNamedDims(value.name, stated) };
  const type: ValueType = { kind: 'tensor', dtype: stated?.kind === 'tensor' ? stated.dtype : undefined, shape: given };
  if (stated && contradicts(stated, type))
    throw new CompressError({
      code: 'mismatch',
      message: `the given shape ${formatShape(given)} does not fit the input's type ${printType(stated)}`,
      where: { tensor: value.name },
    });
  return { type };
};

/** Unnamed dimensions of an input get a name, so that what is computed from them can be expressed. */
const withNamedDims = (name: string, type: ValueType | undefined): ValueType | undefined => {
  if (type?.kind !== 'tensor' || !type.shape) return type;
  const symbol = name.replaceAll(/[^A-Za-z0-9_]/g, '_').replace(/^(?![A-Za-z_])/, '_');
  return { ...type, shape: type.shape.map((dim, axis) => dim ?? `${symbol}_dim_${axis}`) };
};

/** One inference over a program. Bodies of control flow may be gone through several times: the last account counts. */
class Run {
  readonly facts = new Map<Value, Fact>();
  readonly #functions: ReadonlyMap<string, FunctionDefinition>;
  readonly #statedTypes: 'check' | 'replace';
  readonly #problems = new Map<Node, CompressError>();
  readonly #contradictions = new Map<Value, CompressError>();
  readonly #unknown = new Set<Node>();
  #depth = 0;

  constructor(program: Program, statedTypes: 'check' | 'replace') {
    this.#functions = new Map(program.functions.map((definition) => [functionKey(definition), definition]));
    this.#statedTypes = statedTypes;
  }

  report(): InferenceReport {
    const unknown = new Map<string, UnknownOperator & { nodes: string[] }>();
    for (const node of this.#unknown) {
      const key = functionKey({ domain: node.domain, name: node.op, overload: '' });
      const entry = unknown.get(key) ?? { domain: node.domain, op: node.op, nodes: [] };
      entry.nodes.push(labelOf(node));
      unknown.set(key, entry);
    }
    return {
      unknownOperators: [...unknown.values()],
      problems: [...this.#problems.values()],
      contradictions: [...this.#contradictions.values()],
    };
  }

  /** Infers a graph whose inputs are known; returns the facts of its outputs. */
  graph(graph: Graph, inputs: readonly (Fact | undefined)[], opsets: ReadonlyMap<string, number>): Fact[] {
    graph.inputs.forEach((value, index) => {
      const given = inputs[index];
      this.facts.set(value, { type: given?.type ?? value.type, contents: given?.contents });
    });
    for (const value of graph.initializers) if (value.tensor) this.facts.set(value, constantFact(value.tensor));
    const scope: CallScope = {
      opsets,
      factOf: (value) => this.facts.get(value) ?? { type: value.type },
      inferBody: (body, given) => this.graph(body, given, opsets),
    };
    for (const node of graph.nodes) this.#node(node, scope);
    return graph.outputs.map((value) => this.facts.get(value) ?? unknownFact);
  }

  #node(node: Node, scope: CallScope): void {
    this.#problems.delete(node);
    const results = this.#outputs(node, scope);
    node.outputs.forEach((value, index) => {
      if (value) this.#settle(value, results?.[index]);
    });
  }

  #outputs(node: Node, scope: CallScope): readonly (Fact | undefined)[] | undefined {
    try {
      return this.#apply(new Call(node, scope));
    } catch (error) {
      if (!isProblem(error)) throw error;
      this.#problems.set(node, problemOf(node, scope, error));
    }
    try {
      return this.#apply(new Call(node, scope, 'element-types'));
    } catch (error) {
      if (!isProblem(error)) throw error;
      return undefined;
    }
  }

  #apply(call: Call): readonly (Fact | undefined)[] | undefined {
    const { node } = call;
    const definition = this.#functions.get(
      functionKey({ domain: node.domain, name: node.op, overload: node.overload }),
    );
    if (definition) return this.#callFunction(call, definition);
    const rule = ruleFor(node.domain, node.op);
    if (rule) return applyRule(rule, call);
    this.#unknown.add(node);
    return undefined;
  }

  #callFunction(call: Call, definition: FunctionDefinition): readonly Fact[] {
    if (this.#depth >= deepestCall) call.problem('model-local functions call each other without end');
    const body = cloneGraph(definition.body);
    for (const node of nodesWithin(body))
      for (const [name, attribute] of [...node.attributes])
        if (attribute.kind === 'reference') {
          const given = call.node.attributes.get(attribute.value);
          if (given) node.setAttribute(name, given);
          else node.attributes.delete(name);
        }
    this.#depth++;
    try {
      return this.graph(
        body,
        call.node.inputs.map((_, index) => call.fact(index)),
        definition.opsets,
      );
    } finally {
      this.#depth--;
    }
  }

  #settle(value: Value, found: Fact | undefined): void {
    const stated = value.type;
    const inferred = found?.type;
    this.#contradictions.delete(value);
    if (this.#statedTypes === 'replace' && inferred) {
      this.facts.set(value, { type: withElementType(inferred, stated), contents: found?.contents });
      return;
    }
    if (stated && inferred && contradicts(stated, inferred))
      this.#contradictions.set(value, contradictionOf(value, stated, inferred));
    this.facts.set(value, { type: mergeTypes(stated, inferred, 'inferred'), contents: found?.contents });
  }
}

/** Applies a rule. @throws InferenceProblem where the result would have a shape that no array has. */
export const applyRule = (rule: Rule, call: Call): readonly (Fact | undefined)[] => {
  const facts = rule(call);
  for (const fact of facts) {
    const shape = fact?.type?.kind === 'tensor' ? fact.type.shape : undefined;
    const impossible = shape?.some((dim) => typeof dim === 'number' && !(Number.isInteger(dim) && dim >= 0));
    if (impossible) call.problem(`the result would have shape ${formatShape(shape)}`);
  }
  return facts;
};

/** Shapes change by edits, element types stay: the stated one fills what inference leaves open. */
const withElementType = (inferred: ValueType, stated: ValueType | undefined): ValueType => {
  const dtype = stated?.kind === 'tensor' ? stated.dtype : undefined;
  return inferred.kind === 'tensor' && !inferred.dtype ? { ...inferred, dtype } : inferred;
};

const isProblem = (error: unknown): error is InferenceProblem | CompressError =>
  error instanceof InferenceProblem || error instanceof CompressError;

const functionKey = (of: { readonly domain: string; readonly name: string; readonly overload: string }): string =>
  `${of.domain}\n${of.name}\n${of.overload}`;

const problemOf = (node: Node, scope: CallScope, error: Error): CompressError => {
  const inputs = node.inputs.map((value) => {
    const type = value && scope.factOf(value).type;
    return value ? `${value.name}: ${type ? printType(type) : '?'}` : '_';
  });
  return new CompressError({
    code: error instanceof CompressError ? error.code : 'mismatch',
    message: `${node.op}: ${error.message} (inputs ${inputs.join(', ')})`,
    where: { node: labelOf(node) },
    cause: error,
  });
};

const contradictionOf = (value: Value, stated: ValueType, inferred: ValueType): CompressError =>
  new CompressError({
    code: 'mismatch',
    message: `the file says that ${JSON.stringify(value.name)} is ${printType(stated)}, its operator gives ${printType(inferred)}`,
    where: { tensor: value.name, ...(value.producer ? { node: labelOf(value.producer) } : {}) },
  });
