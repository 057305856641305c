import { internalError } from '../errors.ts';
import { cloneGraph } from '../ir/clone.ts';
import type { DataType } from '../ir/data-type.ts';
import { removeDead } from '../ir/edit/remove-dead.ts';
import { type Program, Value } from '../ir/graph.ts';
import { tensorType } from '../ir/shape.ts';
import type { Block } from './blocks.ts';

/** A block as a program of its own. */
export interface Segment {
  readonly program: Program;
  /** The segment's value for a value of the whole program; undefined for values that are not in the segment. */
  valueOf(value: Value): Value | undefined;
}

/**
 * The program that computes a block's outputs from its inputs. Values keep their names, tensors are shared: what is
 * extracted after an edit holds the edited constants.
 * @param typeOf element types of the block's inputs where they are known better than the graph states them.
 */
export const extractSegment = (
  program: Program,
  block: Block,
  typeOf: (value: Value) => DataType | undefined = () => undefined,
): Segment => {
  const known = new Map<Value, Value>();
  const graph = cloneGraph(program.graph, known);
  const copyOf = (value: Value): Value => {
    const copy = known.get(value);
    if (copy) return copy;
    throw internalError(`the value ${value.name} of ${block.name} is not in graph ${program.graph.name}`);
  };
  const inputs = block.inputs.map(copyOf);
  inputs.forEach((input, index) => {
    const { producer } = input;
    const dtype = typeOf(block.inputs[index]!);
    if (dtype) input.type = tensorType(dtype, input.type?.kind === 'tensor' ? input.type.shape : undefined);
    if (!producer) return;
    const at = producer.outputs.indexOf(input);
    producer.setOutput(at, new Value(`${input.name}:before ${block.name}`, input.type));
  });
  graph.inputs.length = 0;
  graph.inputs.push(...inputs);
  graph.outputs.length = 0;
  graph.outputs.push(...block.outputs.map(copyOf));
  removeDead(graph);
  const present = new Set<Value>([...graph.inputs, ...graph.initializers]);
  for (const node of graph.nodes) for (const value of node.outputs) if (value) present.add(value);
  return {
    // Constants need not be inputs of the graph from IR version 4 on.
    program: { ...program, graph, irVersion: Math.max(program.irVersion, 4) },
    valueOf: (value) => {
      const copy = known.get(value);
      return copy && present.has(copy) ? copy : undefined;
    },
  };
};
