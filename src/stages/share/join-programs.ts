import { CompressError } from '../../errors.ts';
import { formatSignature, inputSignature } from '../../execution/signature.ts';
import { cloneGraph } from '../../ir/clone.ts';
import { nameSource } from '../../ir/edit/names.ts';
import { type Graph, Node, type Program, Value } from '../../ir/graph.ts';
import { blockKey } from '../../ir/model.ts';

/** A second program in the graph of a first one. */
export interface JoinedProgram {
  /** The value of the joined graph for a value of the second program. */
  valueOf(value: Value): Value;
}

const sameInputs = (program: Program, other: Program): boolean => {
  const own = new Map(inputSignature(program).map(({ name, dtype }) => [name, dtype]));
  return inputSignature(other).every(({ name, dtype }) => own.get(name) === dtype);
};

/** Opset versions of both, where no domain has two. @throws 'mismatch' */
const joinOpsets = (program: Program, other: Program): void => {
  for (const [domain, version] of other.opsets) {
    const own = program.opsets.get(domain);
    if (own !== undefined && own !== version)
      throw new CompressError({
        code: 'mismatch',
        message: `one model is written for operator set ${own}, the other for ${version}`,
        hint: 'Export both for the same operator set (compress export --opset).',
      });
    program.opsets.set(domain, version);
  }
};

/**
 * Puts another program into the graph of a program, in place: both read the same inputs, names are made free, constants
 * are shared objects. Outputs stay those of the first. @param firstBlock added to the numbers of the other's blocks
 * @throws 'mismatch' for other inputs or operator sets, 'unsupported' for functions
 */
export const joinPrograms = (program: Program, other: Program, firstBlock: number): JoinedProgram => {
  if (!sameInputs(program, other))
    throw new CompressError({
      code: 'mismatch',
      message: `the models take different inputs: ${formatSignature(inputSignature(program))} and ${formatSignature(inputSignature(other))}`,
      hint: 'Both must be of one family, built alike.',
    });
  if (other.functions.length > 0)
    throw new CompressError({ code: 'unsupported', message: 'models with functions of their own are not joined' });
  joinOpsets(program, other);
  const { graph } = program;
  const known = new Map<Value, Value>();
  const copy: Graph = cloneGraph(other.graph, known);
  const own = new Map(graph.inputs.map((value) => [value.name, value]));
  for (const input of copy.inputs)
    if (!input.tensor) for (const { node, index } of input.uses) node.setInput(index, own.get(input.name)!);
  const names = nameSource(graph);
  for (const value of copy.initializers) {
    value.name = names.fresh(value.name);
    graph.initializers.add(value);
  }
  for (const node of copy.nodes) {
    const made = new Node({
      op: node.op,
      domain: node.domain,
      overload: node.overload,
      name: node.name === '' ? '' : names.fresh(node.name),
      inputs: [...node.inputs],
      outputs: node.outputs.map((value) => value && new Value(names.fresh(value.name), value.type)),
      attributes: new Map(node.attributes),
    });
    for (const [key, text] of node.metadata)
      made.metadata.set(key, key === blockKey ? String(Number(text) + firstBlock) : text);
    node.attributes.clear();
    node.outputs.forEach((value, index) => {
      const to = made.outputs[index];
      if (!value || !to) return;
      for (const { node: reader, index: at } of value.uses) reader.setInput(at, to);
      copy.outputs.forEach((output, at) => {
        if (output === value) copy.outputs[at] = to;
      });
      for (const [original, copied] of known) if (copied === value) known.set(original, to);
    });
    for (let index = 0; index < node.inputs.length; index++) node.setInput(index, undefined);
    graph.insert(made);
  }
  return { valueOf: (value) => known.get(value)! };
};
