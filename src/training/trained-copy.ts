import { internalError } from '../errors.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { cloneGraph } from '../ir/clone.ts';
import { type NameSource, nameSource } from '../ir/edit/names.ts';
import { replaceAllUses } from '../ir/edit/replace.ts';
import { type Graph, type Program, Value } from '../ir/graph.ts';
import { tensorType } from '../ir/shape.ts';
import type { TrainedWeight } from './weights/weight.ts';

/** A copy of a program whose trained constants are inputs. */
export interface TrainedCopy {
  readonly program: Program;
  /** The copy's value for one of the given program. @throws internal error when it is no value of it. */
  inStep(original: Value): Value;
  /** Where each weight is fed. */
  readonly leafOf: ReadonlyMap<TrainedWeight, Value>;
  readonly names: NameSource;
}

/** Replaces the constant of a weight by an input that the weight's leaf is fed to. */
const addLeaf = (graph: Graph, build: OperatorBuilder, weight: TrainedWeight, constant: Value, name: string): Value => {
  const leaf = new Value(name, tensorType('float32', weight.leafShape));
  graph.inputs.push(leaf);
  const { arrangement } = weight;
  let replacement = leaf;
  if (arrangement.kind === 'transposed') {
    const { shape } = arrangement;
    const turned = build.transpose(leaf, [1, 0]);
    if (shape.length === 2) replacement = turned;
    else {
      // The matrix (rows, columns) of an array [a, rows, …b] has columns in the order (a, …b).
      const [a = 1, rows = 1, ...rest] = shape;
      const split = build.reshape(leaf, build.integers([rows, a, ...rest]));
      replacement = build.transpose(split, [1, 0, ...rest.map((_, index) => index + 2)]);
    }
  }
  build.typed(replacement, constant.type);
  replaceAllUses(constant, replacement, { graph });
  graph.initializers.delete(constant);
  return leaf;
};

/**
 * Copies a program and makes inputs of its trained constants, so that a session reads them where the optimizer changes
 * them.
 * @param extra weights that are no constants of the program: inputs that nothing reads yet.
 */
export const trainedCopy = (
  original: Program,
  weights: ReadonlyMap<Value, TrainedWeight>,
  extra: readonly TrainedWeight[],
): TrainedCopy => {
  const known = new Map<Value, Value>();
  const program: Program = { ...original, graph: cloneGraph(original.graph, known), opsets: new Map(original.opsets) };
  const { graph } = program;
  const inStep = (value: Value): Value => {
    const copy = known.get(value);
    if (!copy) throw internalError(`${value.name} is no value of the program in training`);
    return copy;
  };
  const names = nameSource(graph);
  const early = new OperatorBuilder(graph, 'train/weight', graph.nodes[0]);
  const leafOf = new Map<TrainedWeight, Value>();
  for (const [constant, weight] of weights)
    leafOf.set(weight, addLeaf(graph, early, weight, inStep(constant), names.fresh(`train/${weight.name}`)));
  for (const weight of extra) {
    const leaf = new Value(names.fresh(`train/${weight.name}`), tensorType('float32', weight.leafShape));
    graph.inputs.push(leaf);
    leafOf.set(weight, leaf);
  }
  return { program, inStep, leafOf, names };
};
