import { internalError } from '../../../errors.ts';
import type { Graph, Program, Value } from '../../../ir/graph.ts';

type Visible = (name: string) => Value | undefined;

/**
 * Files tell values apart by name: every value that is read must be what its name means where it is read.
 * @throws internal error naming the value and the node: an edit broke the graph.
 */
const checkGraph = (graph: Graph, outer: Visible): void => {
  const own = new Map<string, Value>();
  const define = (value: Value): void => {
    const before = own.get(value.name);
    if (value.name === '' || (before && before !== value))
      throw internalError(`two values of graph ${graph.name} have the name "${value.name}"`, { tensor: value.name });
    own.set(value.name, value);
  };
  for (const value of graph.inputs) define(value);
  for (const value of graph.initializers) define(value);
  for (const node of graph.nodes) for (const value of node.outputs) if (value) define(value);
  const visible: Visible = (name) => own.get(name) ?? outer(name);
  for (const node of graph.nodes) {
    for (const value of node.inputs)
      if (value && visible(value.name) !== value)
        throw internalError(`node ${node.name || node.op} reads ${value.name}, which is not a value of its graph`, {
          node: node.name || node.op,
          tensor: value.name,
        });
    for (const body of node.subgraphs()) checkGraph(body, visible);
  }
  for (const value of graph.outputs)
    if (visible(value.name) !== value)
      throw internalError(`output ${value.name} is not a value of graph ${graph.name}`, { tensor: value.name });
};

const nothing: Visible = () => undefined;

export const checkNames = (program: Program): void => {
  checkGraph(program.graph, nothing);
  for (const definition of program.functions) checkGraph(definition.body, nothing);
};
