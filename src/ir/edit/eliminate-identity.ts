import type { Graph, Node, Program, Value } from '../graph.ts';
import { isStatic } from '../shape.ts';
import { graphsWithin } from '../walk.ts';
import { replaceAllUses } from './replace.ts';

/**
 * Removes nodes that give their input back: Identity, Dropout outside training, Cast to the type it already is,
 * Transpose in the order it already is, Concat of one input, Reshape and Expand to the fixed shape it already has.
 * Types must be known for Cast, Reshape and Expand (see inferShapes). A node stays where it only gives an input, a
 * constant or another output the name of an output.
 * @returns the number of nodes removed.
 */
export const eliminateIdentity = (program: Program): number => {
  let removed = 0;
  for (const graph of [...graphsWithin(program.graph)])
    for (const node of [...graph.nodes]) {
      const source = node.inputs[0];
      const output = node.outputs[0];
      if (!source || !output || !givesInputBack(node) || !canGo(graph, source, output)) continue;
      replaceAllUses(output, source, { graph });
      graph.remove(node);
      removed++;
    }
  return removed;
};

const givesInputBack = (node: Node): boolean => {
  if (node.domain !== '') return false;
  const [source] = node.inputs;
  const [output] = node.outputs;
  switch (node.op) {
    case 'Identity':
      return true;
    case 'Dropout':
      return !node.outputs[1] && !node.inputs[2] && node.int('is_test', 1) === 1;
    case 'Concat':
      return node.inputs.length === 1;
    case 'Transpose':
      return node.ints('perm')?.every((axis, index) => axis === index) ?? false;
    case 'Cast':
      return elementType(source) !== undefined && elementType(source) === elementType(output);
    case 'Reshape':
    case 'Expand':
      return sameFixedShape(source, output);
    default:
      return false;
  }
};

const elementType = (value: Value | undefined): string | undefined =>
  value?.type?.kind === 'tensor' ? value.type.dtype : undefined;

const sameFixedShape = (a: Value | undefined, b: Value | undefined): boolean => {
  const shape = a?.type?.kind === 'tensor' ? a.type.shape : undefined;
  const other = b?.type?.kind === 'tensor' ? b.type.shape : undefined;
  return (
    isStatic(shape) &&
    isStatic(other) &&
    shape.length === other.length &&
    shape.every((dim, axis) => dim === other[axis])
  );
};

/** Outputs of a graph keep their names: their value must be able to take the name over. */
const canGo = (graph: Graph, source: Value, output: Value): boolean => {
  const bodies = [...graphsWithin(graph)];
  if (!bodies.some((body) => body.outputs.includes(output))) return true;
  const renamed = graph.outputs.includes(output) && source.producer?.graph === graph && !graph.outputs.includes(source);
  return renamed && !bodies.some((body) => body !== graph && body.outputs.includes(output));
};
