import { OperatorBuilder } from '../ir/build.ts';
import { dataTypes } from '../ir/data-type.ts';
import { type Graph, intAttribute, type Node, Value } from '../ir/graph.ts';
import { tensorType } from '../ir/shape.ts';

/** Products of standard operators: what takes the time of a step, and what processors for half precision are made for. */
const products = new Set(['MatMul', 'Gemm', 'Conv', 'ConvTranspose']);

const isSingle = (value: Value | undefined): boolean =>
  value?.type?.kind === 'tensor' && value.type.dtype === 'float32';

const toHalf = { to: intAttribute(dataTypes.float16.onnx) };
const toSingle = { to: intAttribute(dataTypes.float32.onnx) };

/**
 * Lets products of single-precision matrices be computed in half precision: their factors are cast down, their results
 * up; all else stays as it is (Micikevicius et al. 2018, section 3). Gradients taken afterwards do the same. Types must
 * be known.
 * @returns how many products there are.
 */
export const halveProducts = (graph: Graph): number => {
  const halves = new Map<Value, Value>();
  const found = graph.nodes.filter(
    (node) =>
      node.domain === '' &&
      products.has(node.op) &&
      [...node.inputs, node.outputs[0]].every((value) => !value || isSingle(value)),
  );
  for (const node of found) halveProduct(graph, node, halves);
  return found.length;
};

const halveProduct = (graph: Graph, node: Node, halves: Map<Value, Value>): void => {
  const build = new OperatorBuilder(graph, `half/${node.name || node.op}`, node);
  const shapeOf = (value: Value) => (value.type?.kind === 'tensor' ? value.type.shape : undefined);
  node.inputs.forEach((value, index) => {
    if (!value) return;
    const half = halves.get(value) ?? build.call('Cast', [value], toHalf);
    half.type = tensorType('float16', shapeOf(value));
    halves.set(value, half);
    node.setInput(index, half);
  });
  const output = node.outputs[0]!;
  const half = new Value(`${output.name}.half`, tensorType('float16', shapeOf(output)));
  node.setOutput(0, half);
  const raised = new OperatorBuilder(
    graph,
    `single/${node.name || node.op}`,
    graph.nodes[graph.nodes.indexOf(node) + 1],
  );
  const cast = raised.call('Cast', [half], toSingle).producer!;
  cast.setOutput(0, output);
};
