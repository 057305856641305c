import { cloneGraph } from '../../../ir/clone.ts';
import { type NameSource, nameSource } from '../../../ir/edit/names.ts';
import { type Graph, Node, type Program, tensorAttribute, Value } from '../../../ir/graph.ts';
import { floatTensor } from '../../../ir/read.ts';
import { graphsWithin } from '../../../ir/walk.ts';

/** A copy of a program whose main graph hands out values, those inside the branches of If nodes too. */
export interface Exposed {
  readonly program: Program;
  /** Value of the copy's main graph that holds each wanted value. A branch that was not taken leaves it empty. */
  readonly places: ReadonlyMap<Value, Value>;
  /** Values that cannot be handed out: they live in the body of a Loop, a Scan or a function. */
  readonly hidden: readonly Value[];
}

/** Another value that holds the same: a graph hands out a value only once, and the other branch has its own there. */
const copyOf = (value: Value, graph: Graph, names: NameSource): Value => {
  const copy = new Value(names.fresh(`${value.name}/copy`), value.type);
  graph.insert(new Node({ op: 'Identity', inputs: [value], outputs: [copy] }));
  return copy;
};

/** The value one level further out: a new output of the If that holds the body. */
const passOut = (value: Value, body: Graph, owner: Node, names: NameSource): Value => {
  const outside = new Value(names.fresh(`${value.name}/out`));
  const index = owner.outputs.length;
  body.outputs[index] = body.outputs.includes(value) ? copyOf(value, body, names) : value;
  for (const branch of owner.subgraphs())
    if (branch !== body) {
      const nothing = new Value(names.fresh(`${value.name}/none`));
      branch.insert(
        new Node({
          op: 'Constant',
          inputs: [],
          outputs: [nothing],
          attributes: { value: tensorAttribute(floatTensor([0], [])) },
        }),
      );
      branch.outputs[index] = nothing;
    }
  owner.setOutput(index, outside);
  return outside;
};

/** The main graph's value that holds `value`, made where it has to be; undefined when something other than If is between. */
const reachMain = (value: Value, home: Graph, names: NameSource): Value | undefined => {
  let place = value;
  for (let graph = home; graph.ownerNode; ) {
    const owner: Node = graph.ownerNode;
    if (owner.op !== 'If' || owner.domain !== '' || !owner.graph) return undefined;
    place = passOut(place, graph, owner, names);
    graph = owner.graph;
  }
  return place;
};

/** Copies a program and lets its copy hand out `values`. The program itself stays as it is. */
export const exposeValues = (program: Program, values: Iterable<Value>): Exposed => {
  const known = new Map<Value, Value>();
  const graph = cloneGraph(program.graph, known);
  const names = nameSource(graph);
  const inputHomes = new Map<Value | undefined, Graph>();
  for (const inner of graphsWithin(graph)) for (const value of inner.inputs) inputHomes.set(value, inner);
  const places = new Map<Value, Value>();
  const hidden: Value[] = [];
  for (const value of new Set(values)) {
    const copy = known.get(value);
    const home = copy?.producer?.graph ?? inputHomes.get(copy);
    const place = copy && home && reachMain(copy, home, names);
    if (place) places.set(value, place);
    else hidden.push(value);
  }
  return { program: { ...program, graph, opsets: new Map(program.opsets) }, places, hidden };
};
