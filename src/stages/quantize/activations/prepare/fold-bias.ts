import type { NameSource } from '../../../../ir/edit/names.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import { type Graph, Node, type Program, Value } from '../../../../ir/graph.ts';
import { floatTensor, readFloats } from '../../../../ir/read.ts';
import { elementCount, tensorType } from '../../../../ir/shape.ts';
import type { Tensor } from '../../../../ir/tensor.ts';
import { constantOf, graphsWithin } from '../../../../ir/walk.ts';

/** An Add of a product's result and a constant. */
interface BiasAdd {
  readonly add: Node;
  readonly product: Node;
  readonly constant: Tensor;
}

const biasAddOf = (add: Node, outputs: ReadonlySet<Value>): BiasAdd | undefined => {
  if (add.op !== 'Add' || add.domain !== '') return undefined;
  for (const [side, other] of [
    [add.inputs[0], add.inputs[1]],
    [add.inputs[1], add.inputs[0]],
  ]) {
    const constant = constantOf(other);
    const product = side?.producer;
    if (!side || !constant || !product || product.graph !== add.graph) continue;
    if (side.uses.length === 1 && !outputs.has(side)) return { add, product, constant };
  }
  return undefined;
};

/** The constant as one number per channel (at `axis` of a result of this rank); undefined when it varies elsewhere. */
const perChannel = (constant: Tensor, channels: number, rank: number, axis: number): Float32Array | undefined => {
  if (constant.dtype !== 'float32') return undefined;
  const count = elementCount(constant.shape);
  const padded = [...Array<number>(Math.max(rank - constant.shape.length, 0)).fill(1), ...constant.shape];
  if (padded.length !== rank) return undefined;
  if (count === 1) return new Float32Array(channels).fill(readFloats(constant)[0]!);
  return count === channels && padded[axis] === channels ? readFloats(constant) : undefined;
};

const shapeOf = (value: Value | undefined): readonly number[] | undefined => constantOf(value)?.shape;

/** Gives a convolution the bias of the Add behind it. */
const foldIntoConvolution = ({ add, product, constant }: BiasAdd, graph: Graph, names: NameSource): boolean => {
  const weightShape = shapeOf(product.inputs[1]);
  const known = product.inputs[2] && constantOf(product.inputs[2]);
  if (!weightShape || (product.inputs[2] && !known)) return false;
  const transposed = product.op === 'ConvTranspose';
  const channels = transposed ? (weightShape[1] ?? 0) * product.int('group', 1) : (weightShape[0] ?? 0);
  const bias = perChannel(constant, channels, weightShape.length, 1);
  if (!bias) return false;
  const old = known ? readFloats(known) : undefined;
  const sum = old ? bias.map((number, channel) => number + old[channel]!) : bias;
  const base = add.outputs[0]?.name ?? product.name;
  product.setInput(2, graph.addInitializer(names.fresh(`${base}_bias`), floatTensor([channels], sum)));
  replaceAllUses(add.outputs[0]!, product.outputs[0]!, { graph });
  graph.remove(add);
  return true;
};

/** Makes a Gemm of a matrix product of two axes and the Add behind it. */
const foldIntoGemm = ({ add, product, constant }: BiasAdd, graph: Graph, names: NameSource): boolean => {
  const [input, weight] = product.inputs;
  const output = product.outputs[0];
  const weightShape = shapeOf(weight);
  const rank = input?.type?.kind === 'tensor' ? input.type.shape?.length : undefined;
  if (!input || !weight || !output || weightShape?.length !== 2 || rank !== 2) return false;
  const channels = weightShape[1] ?? 0;
  const bias = perChannel(constant, channels, 2, 1);
  if (!bias) return false;
  const base = add.outputs[0]?.name ?? product.name;
  const value = graph.addInitializer(names.fresh(`${base}_bias`), floatTensor([channels], bias));
  const result = new Value(names.fresh(`${base}_gemm`), output.type ?? tensorType('float32'));
  const gemm = new Node({ op: 'Gemm', name: product.name, inputs: [input, weight, value], outputs: [result] });
  for (const [key, text] of product.metadata) gemm.metadata.set(key, text);
  graph.insert(gemm, product);
  replaceAllUses(add.outputs[0]!, result, { graph });
  graph.remove(add, product);
  return true;
};

/**
 * Folds constant Adds behind convolutions and two-axis matrix products into their bias, so that integer products add
 * it up inside. Types of values should be known. Returns how many were folded.
 */
export const foldBias = (program: Program, names: NameSource): number => {
  let folded = 0;
  for (const graph of graphsWithin(program.graph)) {
    const outputs = new Set(graph.outputs);
    for (const node of [...graph.nodes]) {
      const found = biasAddOf(node, outputs);
      if (found?.product.domain !== '') continue;
      const { op } = found.product;
      if (op === 'Conv' || op === 'ConvTranspose') folded += foldIntoConvolution(found, graph, names) ? 1 : 0;
      else if (op === 'MatMul') folded += foldIntoGemm(found, graph, names) ? 1 : 0;
    }
  }
  return folded;
};
