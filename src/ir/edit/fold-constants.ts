import { CompressError } from '../../errors.ts';
import { byteLengthOf } from '../data-type.ts';
import type { Graph, Node, Program, Value } from '../graph.ts';
import { Call, type CallScope, InferenceProblem } from '../inference/call.ts';
import type { Fact } from '../inference/fact.ts';
import { constantFact } from '../inference/generators.ts';
import { applyRule, inferFacts } from '../inference/infer.ts';
import { ruleFor } from '../inference/table.ts';
import { tensorOf } from '../read.ts';
import { elementCount, isStatic, tensorType } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { constantOf, graphsWithin } from '../walk.ts';
import type { ConstantCall } from './fold/evaluator.ts';
import { evaluatorFor } from './fold/table.ts';
import { dropInitializerInputs } from './interface.ts';
import { removeDead } from './remove-dead.ts';

export interface FoldOptions {
  /**
   * A result that is larger than its constant operands together (Expand, Tile, ConstantOfShape, …) is folded up to this
   * many bytes. Default 1 MiB.
   */
  readonly maxBytes?: number;
  /**
   * A constant of more bytes that other nodes read too is not folded, since it would be stored twice (a tied embedding
   * read through a Transpose). Default 1 KiB.
   */
  readonly maxSharedBytes?: number;
}

/**
 * Replaces what does not depend on inputs by initializers: nodes whose inputs are constants (where they can be computed
 * here), and integers that shapes decide (a Shape of fixed dimensions; see inferShapes with `inputShapes` to fix those of
 * the inputs). Large results are computed when they are read.
 * Then removes what nothing reads any more. Quantized constants stay as they are.
 * Programs of IR version 3, where every initializer is an input, become IR version 4.
 * @returns the number of nodes that became constants.
 */
export const foldConstants = (program: Program, options: FoldOptions = {}): number => {
  const { facts } = inferFacts(program);
  const limits = { maxBytes: options.maxBytes ?? 1 << 20, maxSharedBytes: options.maxSharedBytes ?? 1 << 10 };
  let folded = 0;
  for (const graph of [...graphsWithin(program.graph)])
    for (const node of [...graph.nodes]) {
      if (node.op === 'Constant' || node.graph !== graph) continue;
      const tensors = computed(node, program, limits) ?? decidedByShapes(node, facts);
      if (!tensors) continue;
      becomeConstants(graph, node, tensors);
      folded++;
    }
  if (folded > 0 && program.irVersion < 4) dropInitializerInputs(program);
  if (folded > 0) removeDead(program);
  return folded;
};

/** Integer or boolean outputs whose elements inference knows. */
const decidedByShapes = (node: Node, facts: ReadonlyMap<Value, Fact>): Tensor[] | undefined => {
  const tensors: Tensor[] = [];
  for (const value of node.outputs) {
    const fact = value && facts.get(value);
    const type = fact?.type;
    if (type?.kind !== 'tensor' || !isStatic(type.shape) || !fact?.contents) return undefined;
    if (type.dtype !== 'int64' && type.dtype !== 'int32' && type.dtype !== 'bool') return undefined;
    const numbers = fact.contents.map(Number);
    if (!fact.contents.every((element) => Number.isSafeInteger(element))) return undefined;
    tensors.push(tensorOf(type.dtype, type.shape, numbers));
  }
  return tensors.length > 0 ? tensors : undefined;
};

interface Limits {
  readonly maxBytes: number;
  readonly maxSharedBytes: number;
}

/** The outputs of a node whose inputs are all constants. */
const computed = (node: Node, program: Program, limits: Limits): readonly Tensor[] | undefined => {
  const evaluator = node.domain === '' ? evaluatorFor(node.op) : undefined;
  const rule = ruleFor(node.domain, node.op);
  if (!evaluator || !rule || node.outputs.some((value) => !value)) return undefined;
  const tensors = node.inputs.map(constantOf);
  if (node.inputs.some((value, index) => value && !tensors[index])) return undefined;
  if (tensors.some((tensor) => tensor?.kind === 'packed')) return undefined;
  const call = new Call(node, constantScope(program));
  try {
    const outputs = applyRule(rule, call).map((fact) => {
      const type = fact?.type;
      return type?.kind === 'tensor' && type.dtype && isStatic(type.shape)
        ? { dtype: type.dtype, shape: type.shape }
        : undefined;
    });
    if (!outputs.every((output) => output !== undefined)) return undefined;
    const constants: ConstantCall = { call, tensors, outputs: outputs.slice(0, node.outputs.length) };
    if (!isWorthwhile(node, constants, limits)) return undefined;
    return evaluator(constants);
  } catch (error) {
    if (cannotBeComputed(error)) return undefined;
    throw error;
  }
};

/** Inputs that do not go together, integers beyond 53 bits, unknown element types: left to the inference engine. */
const cannotBeComputed = (error: unknown): boolean =>
  error instanceof InferenceProblem || (error instanceof CompressError && error.code === 'unsupported');

const constantScope = (program: Program): CallScope => ({
  opsets: program.opsets,
  factOf: (value) => {
    const tensor = constantOf(value);
    return tensor ? constantFact(tensor) : { type: value.type };
  },
  inferBody: () => [],
});

const bytesOf = (tensor: Tensor | undefined): number => tensor?.byteLength ?? 0;

const isWorthwhile = (node: Node, { tensors, outputs }: ConstantCall, limits: Limits): boolean => {
  const before = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const after = outputs.reduce((sum, { dtype, shape }) => sum + byteLengthOf(dtype, elementCount(shape)), 0);
  if (after > before && after > limits.maxBytes) return false;
  const sharedBytes = node.inputs.reduce(
    (sum, value, index) => sum + (value && value.useSet.size > 1 ? bytesOf(tensors[index]) : 0),
    0,
  );
  return sharedBytes <= limits.maxSharedBytes;
};

/** The node's outputs become initializers of its graph, with their names and uses. */
const becomeConstants = (graph: Graph, node: Node, tensors: readonly Tensor[]): void => {
  const outputs = [...node.outputs];
  graph.remove(node);
  outputs.forEach((value, index) => {
    const tensor = tensors[index];
    if (!value || !tensor) return;
    value.tensor = tensor;
    value.type = tensorType(tensor.dtype, tensor.shape);
    graph.initializers.add(value);
  });
};
