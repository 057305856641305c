import { dataTypes } from '../../../ir/data-type.ts';
import type { NameSource } from '../../../ir/edit/names.ts';
import { setConstant } from '../../../ir/edit/replace.ts';
import { type Graph, intAttribute, Node, type Program, Value } from '../../../ir/graph.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { elementCount, tensorType } from '../../../ir/shape.ts';
import { constantOf, graphsWithin } from '../../../ir/walk.ts';
import { convertTensor, type FloatTarget } from './constants.ts';
import { halfObstacle } from './operators.ts';

/** Constants smaller than this are not worth a node that widens them. */
const smallestStored = 64;

const isWorthStoring = (value: Value): boolean => {
  const tensor = constantOf(value);
  return (
    tensor?.dtype === 'float32' &&
    !(tensor instanceof PackedTensor) &&
    elementCount(tensor.shape) >= smallestStored &&
    value.uses.length > 0 &&
    value.uses.every(({ node }) => halfObstacle(node) === undefined)
  );
};

const constantsOf = (graph: Graph): Value[] =>
  [
    ...[...graph.initializers].filter((value) => !graph.inputs.includes(value)),
    ...graph.nodes.flatMap((node) =>
      node.outputs.filter((value) => value !== undefined && constantOf(value) !== undefined),
    ),
  ] as Value[];

/**
 * Stores large float32 constants in a narrower type, each widened by one Cast that runtimes fold when they load the
 * model: the file shrinks, the arithmetic stays float32. Returns the names of the constants.
 */
export const storeWeights = (program: Program, target: FloatTarget, names: NameSource): string[] => {
  const stored: string[] = [];
  for (const graph of graphsWithin(program.graph))
    for (const value of constantsOf(graph)) {
      if (!isWorthStoring(value)) continue;
      const tensor = constantOf(value)!;
      const wide = new Value(names.fresh(`${value.name}_float32`), tensorType('float32', tensor.shape));
      const readers = value.uses;
      setConstant(value, convertTensor(tensor, target));
      const cast = new Node({
        op: 'Cast',
        inputs: [value],
        outputs: [wide],
        attributes: { to: intAttribute(dataTypes.float32.onnx) },
      });
      if (value.producer) graph.insertAfter(cast, value.producer);
      else graph.insert(cast, graph.nodes[0]);
      for (const { node, index } of readers) node.setInput(index, wide);
      stored.push(value.name);
    }
  return stored;
};
