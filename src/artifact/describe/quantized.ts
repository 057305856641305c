import { bitsOf, isFloat } from '../../ir/data-type.ts';
import type { Node, Program, Value } from '../../ir/graph.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { readInts } from '../../ir/read.ts';
import { elementCount } from '../../ir/shape.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { allGraphs, constantOf } from '../../ir/walk.ts';
import type { QuantizedWeight } from './description.ts';

/** A quantized weight and the constants that it is stored in. */
export interface FoundWeight {
  readonly weight: QuantizedWeight;
  readonly constants: readonly Value[];
}

/** Integer operators and the input that holds the weight. */
const integerProducts: Readonly<Record<string, number>> = {
  MatMulInteger: 1,
  ConvInteger: 1,
  MatMulIntegerToFloat: 1,
  DynamicQuantizeMatMul: 1,
  QLinearMatMul: 3,
  QLinearConv: 3,
  QGemm: 3,
  DynamicQuantizeLSTM: 1,
};

const constantsAmong = (values: readonly (Value | undefined)[]): Value[] =>
  values.filter((value): value is Value => value !== undefined && constantOf(value) !== undefined);

/** Scales and zero points that stand behind a weight among a node's inputs. */
const found = (node: Node, index: number, facts: Omit<QuantizedWeight, 'name' | 'form'>): FoundWeight => ({
  weight: { name: node.inputs[index]?.name ?? '', form: node.op, ...facts },
  constants: constantsAmong(node.inputs.slice(index, index + 3)),
});

const dequantized = (node: Node, tensor: Tensor): FoundWeight | undefined => {
  if (isFloat(tensor.dtype) && bitsOf(tensor.dtype) > 8) return undefined;
  if (tensor.shape.length === 0) return undefined;
  const facts = {
    bits: bitsOf(tensor.dtype),
    blockSize: node.int('block_size', 0),
    elements: elementCount(tensor.shape),
  };
  return found(node, 0, facts);
};

/** Constants behind a value that is computed from constants alone. */
const constantsBehind = (value: Value | undefined): Value[] => {
  if (!value || constantOf(value)) return constantsAmong([value]);
  return value.producer?.inputs.flatMap(constantsBehind) ?? [];
};

/** Codes that pick the entries of a constant table, one of each row. */
const rowTables = (node: Node): FoundWeight | undefined => {
  const [table, codes] = node.inputs;
  const [rows = 0, entries = 0] = constantOf(table)?.shape ?? [];
  const stored = codes?.producer?.op === 'Reshape' ? constantsBehind(codes) : [];
  const shape = constantOf(codes?.producer?.inputs[1]);
  const elements = shape?.dtype === 'int64' ? readInts(shape).reduce((product, dim) => product * dim, 1) : 0;
  if (!table || rows === 0 || stored.length === 0 || elements % rows !== 0) return undefined;
  const facts = { bits: Math.ceil(Math.log2(entries)), blockSize: elements / rows, elements };
  return { weight: { name: table.name, form: node.op, ...facts }, constants: [table, ...stored] };
};

/** Both products of all experts of a layer. */
const expertWeights = (node: Node): FoundWeight[] =>
  [2, 5].flatMap((index) => {
    const codes = constantOf(node.inputs[index]);
    if (!codes) return [];
    const bits = node.int('expert_weight_bits', 4);
    const elements = (elementCount(codes.shape) * 8) / bits;
    const { weight } = found(node, index, { bits, blockSize: node.int('block_size', 0), elements });
    const zeroPoints = node.inputs[index === 2 ? 11 : 12];
    return [{ weight, constants: constantsAmong([node.inputs[index], node.inputs[index + 1], zeroPoints]) }];
  });

const quantizedWeightsOf = (node: Node): FoundWeight[] => {
  if (node.op === 'QMoE') return expertWeights(node);
  const weight = node.op === 'GatherElements' ? rowTables(node) : quantizedWeightOf(node);
  return weight ? [weight] : [];
};

const quantizedWeightOf = (node: Node): FoundWeight | undefined => {
  if (node.op === 'DequantizeLinear') {
    const tensor = constantOf(node.inputs[0]);
    return tensor && dequantized(node, tensor);
  }
  if (node.op === 'MatMulNBits') {
    const elements = node.int('K', 0) * node.int('N', 0);
    return found(node, 1, { bits: node.int('bits', 4), blockSize: node.int('block_size', 0), elements });
  }
  if (node.op === 'GatherBlockQuantized') {
    const tensor = constantOf(node.inputs[0]);
    const bits = node.int('bits', 4);
    const perElement = tensor?.dtype === 'uint8' ? 8 / bits : 1;
    const elements = tensor ? elementCount(tensor.shape) * perElement : 0;
    const { weight } = found(node, 0, { bits, blockSize: node.int('block_size', 128), elements });
    return { weight, constants: constantsAmong([node.inputs[0], node.inputs[2], node.inputs[3]]) };
  }
  const index = integerProducts[node.op];
  const tensor = index === undefined ? undefined : constantOf(node.inputs[index]);
  if (index === undefined || !tensor) return undefined;
  return found(node, index, { bits: bitsOf(tensor.dtype), blockSize: 0, elements: elementCount(tensor.shape) });
};

/** Every weight of a program that is stored in integers or 8-bit floats; one that two nodes read is found once. */
export const quantizedWeights = (program: Program): FoundWeight[] => {
  const byConstant = new Map<Value | undefined, FoundWeight>();
  for (const graph of allGraphs(program))
    for (const weight of graph.nodes.flatMap(quantizedWeightsOf)) {
      const [key] = weight.constants;
      if (key && !byConstant.has(key)) byConstant.set(key, weight);
    }
  return [...byConstant.values()];
};

/** Whether some weight is stored in integers, packed ones that no format has written yet among them. */
export const holdsQuantizedWeights = (program: Program): boolean => {
  for (const graph of allGraphs(program)) {
    for (const { tensor } of graph.initializers) if (tensor instanceof PackedTensor) return true;
    for (const node of graph.nodes)
      if (node.op === 'Constant' && constantOf(node.outputs[0]) instanceof PackedTensor) return true;
  }
  return quantizedWeights(program).length > 0;
};

/** Activations that are rounded while a graph runs. */
export const countQuantizedActivations = (program: Program): number => {
  let count = 0;
  for (const graph of allGraphs(program))
    for (const node of graph.nodes) {
      const rounds = node.op === 'QuantizeLinear' || node.op === 'DynamicQuantizeLinear';
      if (rounds ? !constantOf(node.inputs[0]) : ['DynamicQuantizeMatMul', 'DynamicQuantizeLSTM'].includes(node.op))
        count++;
    }
  return count;
};
