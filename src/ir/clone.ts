import { type Attribute, type FunctionDefinition, Graph, Node, type Program, Value } from './graph.ts';

/**
 * Copies of graphs: nodes and values are new objects, tensors are shared. Values of enclosing graphs that a subgraph
 * reads are taken from `known`, or kept as they are when they are not there.
 */
const copyValue = (value: Value): Value => {
  const copy = new Value(value.name, value.type, value.tensor);
  copy.docString = value.docString;
  copy.carried = value.carried;
  for (const [key, text] of value.metadata) copy.metadata.set(key, text);
  return copy;
};

const copyAttribute = (attribute: Attribute, known: Map<Value, Value>): Attribute => {
  if (attribute.kind === 'graph') return { kind: 'graph', value: cloneGraph(attribute.value, known) };
  if (attribute.kind === 'graphs')
    return { kind: 'graphs', value: attribute.value.map((graph) => cloneGraph(graph, known)) };
  return attribute;
};

/** A deep copy of a graph. `known` maps values already copied (outer scopes) and is extended with this graph's. */
export const cloneGraph = (graph: Graph, known: Map<Value, Value> = new Map()): Graph => {
  const copy = new Graph(graph.name);
  copy.docString = graph.docString;
  copy.carried = graph.carried;
  copy.quantizationAnnotations.push(...graph.quantizationAnnotations);
  for (const [key, text] of graph.metadata) copy.metadata.set(key, text);
  const define = (value: Value): Value => {
    const found = known.get(value);
    if (found) return found;
    const made = copyValue(value);
    known.set(value, made);
    return made;
  };
  for (const value of graph.inputs) copy.inputs.push(define(value));
  for (const value of graph.initializers) copy.initializers.add(define(value));
  for (const node of graph.nodes) for (const value of node.outputs) if (value) define(value);
  const resolve = (value: Value | undefined): Value | undefined => (value ? (known.get(value) ?? value) : undefined);
  for (const node of graph.nodes) {
    const made = new Node({
      op: node.op,
      domain: node.domain,
      overload: node.overload,
      name: node.name,
      inputs: node.inputs.map(resolve),
      outputs: node.outputs.map(resolve),
      attributes: new Map([...node.attributes].map(([name, attribute]) => [name, copyAttribute(attribute, known)])),
    });
    made.docString = node.docString;
    made.carried = node.carried;
    for (const [key, text] of node.metadata) made.metadata.set(key, text);
    copy.insert(made);
  }
  for (const value of graph.outputs) copy.outputs.push(known.get(value) ?? define(value));
  return copy;
};

const cloneFunction = (definition: FunctionDefinition): FunctionDefinition => ({
  ...definition,
  body: cloneGraph(definition.body),
});

/** A deep copy of a program; tensors are shared. */
export const cloneProgram = (program: Program): Program => ({
  ...program,
  graph: cloneGraph(program.graph),
  opsets: new Map(program.opsets),
  functions: program.functions.map(cloneFunction),
  metadata: new Map(program.metadata),
});
