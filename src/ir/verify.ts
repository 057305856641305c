import { CompressError, type ErrorCode, type Where } from '../errors.ts';
import type { FunctionDefinition, Graph, Node, Program, Value } from './graph.ts';
import { inferFacts, labelOf } from './inference/infer.ts';
import { contradicts } from './inference/merge.ts';
import { requiredInputCount } from './required-inputs.ts';
import { tensorType } from './shape.ts';
import { printType } from './text/types.ts';

/**
 * Everything that is wrong with a program's structure: values read before they are computed or from nowhere, values
 * computed twice, names that two visible values share, initializers that contradict their type, missing inputs,
 * operator sets that are used but not imported, outputs that do not exist, and types that inference contradicts.
 * An empty list means that the program is well-formed. Operators that inference does not know are no error.
 */
export const verify = (program: Program): CompressError[] => {
  const checker = new Checker(program.opsets, functionDomains(program));
  checker.graph(program.graph, new Visible());
  const found = [...checker.errors];
  for (const definition of program.functions) found.push(...verifyFunction(definition, program));
  if (found.length > 0) return found;
  const { report } = inferFacts(program);
  return [...report.problems, ...report.contradictions];
};

const functionDomains = (program: Program): ReadonlySet<string> =>
  new Set(program.functions.map((definition) => definition.domain));

const verifyFunction = (definition: FunctionDefinition, program: Program): readonly CompressError[] => {
  const checker = new Checker(definition.opsets, functionDomains(program));
  checker.graph(definition.body, new Visible());
  return checker.errors;
};

/** Values that can be read at a place: those defined so far in a graph and its enclosing graphs, by name. */
class Visible {
  readonly #values = new Set<Value>();
  readonly #names = new Map<string, Value>();
  readonly #outer: Visible | undefined;

  constructor(outer?: Visible) {
    this.#outer = outer;
  }

  /** Whether the value belongs to the graph itself. */
  owns(value: Value): boolean {
    return this.#values.has(value);
  }

  has(value: Value): boolean {
    return this.#values.has(value) || (this.#outer?.has(value) ?? false);
  }

  byName(name: string): Value | undefined {
    return this.#names.get(name) ?? this.#outer?.byName(name);
  }

  add(value: Value): void {
    this.#values.add(value);
    this.#names.set(value.name, value);
  }
}

class Checker {
  readonly errors: CompressError[] = [];
  readonly #opsets: ReadonlyMap<string, number>;
  readonly #functionDomains: ReadonlySet<string>;
  readonly #missingDomains = new Set<string>();

  constructor(opsets: ReadonlyMap<string, number>, functionDomains: ReadonlySet<string>) {
    this.#opsets = opsets;
    this.#functionDomains = functionDomains;
  }

  #report(code: ErrorCode, message: string, where: Where): void {
    this.errors.push(new CompressError({ code, message, where }));
  }

  graph(graph: Graph, visible: Visible): void {
    for (const value of graph.inputs) this.#define(value, visible);
    for (const value of graph.initializers) this.#initializer(value, graph, visible);
    for (const node of graph.nodes) this.#node(node, graph, visible);
    for (const value of graph.outputs)
      if (visible.has(value) && !visible.owns(value))
        this.#report(
          'malformed',
          `the body ${quote(graph.name)} gives back ${quote(value.name)} of an enclosing graph (it needs an Identity)`,
          { tensor: value.name },
        );
      else if (!visible.has(value))
        this.#report('malformed', `the output ${quote(value.name)} of graph ${quote(graph.name)} is computed nowhere`, {
          tensor: value.name,
        });
  }

  #define(value: Value, visible: Visible): void {
    const other = visible.byName(value.name);
    if (visible.has(value)) this.#report('malformed', `${quote(value.name)} is defined twice`, { tensor: value.name });
    else if (other)
      this.#report('malformed', `two visible values are named ${quote(value.name)}`, { tensor: value.name });
    visible.add(value);
  }

  #initializer(value: Value, graph: Graph, visible: Visible): void {
    if (!graph.inputs.includes(value)) this.#define(value, visible);
    const { tensor, type } = value;
    if (!tensor)
      this.#report('malformed', `the initializer ${quote(value.name)} has no content`, { tensor: value.name });
    else if (type && contradicts(type, tensorType(tensor.dtype, tensor.shape)))
      this.#report(
        'mismatch',
        `the initializer ${quote(value.name)} is ${printType(tensorType(tensor.dtype, tensor.shape))}, its type says ${printType(type)}`,
        { tensor: value.name },
      );
  }

  #node(node: Node, graph: Graph, visible: Visible): void {
    const where = { node: labelOf(node) };
    if (node.graph !== graph) this.#report('internal', `${node.op} stands in a graph that it does not know`, where);
    this.#operator(node, where);
    node.inputs.forEach((value, index) => {
      if (value && !visible.has(value)) this.#unreadable(value, node, graph);
      if (value && !value.useSet.size)
        this.#report('internal', `${quote(value.name)} does not know that it is read`, where);
      if (!value && index < requiredInputCount(node, this.#opsets.get('') ?? 1))
        this.#report('malformed', `${node.op} needs its input ${index}`, where);
    });
    for (let index = node.inputs.length; index < requiredInputCount(node, this.#opsets.get('') ?? 1); index++)
      this.#report('malformed', `${node.op} needs its input ${index}`, where);
    for (const body of node.subgraphs()) {
      if (body.ownerNode !== node) this.#report('internal', `a body of ${node.op} does not know its node`, where);
      this.graph(body, new Visible(visible));
    }
    for (const value of node.outputs) {
      if (!value) continue;
      if (value.producer !== node) this.#report('internal', `${quote(value.name)} does not know its producer`, where);
      this.#define(value, visible);
    }
  }

  #operator(node: Node, where: Where): void {
    const known = this.#opsets.has(node.domain) || (node.domain === 'ai.onnx' && this.#opsets.has(''));
    if (known || this.#functionDomains.has(node.domain) || this.#missingDomains.has(node.domain)) return;
    this.#missingDomains.add(node.domain);
    const name = node.domain === '' ? 'the standard operator set' : `the operator set ${quote(node.domain)}`;
    this.#report('malformed', `${node.op} comes from ${name}, which the program does not import`, where);
  }

  #unreadable(value: Value, node: Node, graph: Graph): void {
    const reason = value.producer?.graph === graph ? ' before it is computed' : ', which is not visible there';
    this.#report('malformed', `${node.op} reads ${quote(value.name)}${reason}`, {
      node: labelOf(node),
      tensor: value.name,
    });
  }
}

const quote = (name: string): string => JSON.stringify(name);
