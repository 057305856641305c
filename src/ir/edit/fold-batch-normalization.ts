import { floatAttribute, type Graph, Node, type Program, Value } from '../graph.ts';
import { inferFacts, labelOf } from '../inference/infer.ts';
import { readNumbers, tensorOf } from '../read.ts';
import type { Tensor } from '../tensor.ts';
import { constantOf, graphsWithin } from '../walk.ts';
import { dropInitializerInputs } from './interface.ts';
import { freshName } from './names.ts';
import { removeDead } from './remove-dead.ts';
import { replaceAllUses, setConstant } from './replace.ts';

export interface FoldedNormalization {
  readonly normalization: string;
  /** The node that took it in, or why none could. */
  readonly into?: string;
  readonly reason?: string;
}

/**
 * Takes every BatchNormalization in inference form into the Conv, ConvTranspose, Gemm or MatMul before it:
 * y = (W x + b - mean) s + beta with s = gamma / sqrt(variance + epsilon) is (s W) x + ((b - mean) s + beta).
 * Computed in double precision and rounded once. A MatMul gets an Add behind it. Weights that other nodes read too are
 * copied. Programs of IR version 3 become IR version 4. Normalizations stay where the product has other readers, or where something is not constant.
 */
export const foldBatchNormalization = (program: Program): FoldedNormalization[] => {
  const { facts } = inferFacts(program);
  const rankOf = (value: Value): number | undefined => {
    const type = facts.get(value)?.type;
    return type?.kind === 'tensor' ? type.shape?.length : undefined;
  };
  const results: FoldedNormalization[] = [];
  for (const graph of graphsWithin(program.graph))
    for (const node of [...graph.nodes])
      if (node.op === 'BatchNormalization' && node.domain === '')
        results.push({ normalization: labelOf(node), ...foldOne(graph, node, rankOf) });
  if (results.every((result) => result.into === undefined)) return results;
  if (program.irVersion < 4) dropInitializerInputs(program);
  removeDead(program);
  return results;
};

/** y = scale * x + shift for each channel. */
interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

type Outcome = { readonly into: string } | { readonly reason: string };

const foldOne = (graph: Graph, node: Node, rankOf: (value: Value) => number | undefined): Outcome => {
  const affine = affineOf(node);
  if (typeof affine === 'string') return { reason: affine };
  const input = node.inputs[0];
  const output = node.outputs[0];
  const product = input?.producer;
  if (!input || !output || product?.graph !== graph || product.domain !== '')
    return { reason: 'its input is computed by no product' };
  const onlyReader = input.useSet.size === 1 && ![...graphsWithin(graph)].some((body) => body.outputs.includes(input));
  if (!onlyReader) return { reason: `the output of ${labelOf(product)} is read elsewhere too` };
  const into = labelOf(product);
  const reason = foldInto(graph, product, rankOf(input), affine);
  if (reason !== undefined) return { reason };
  replaceAllUses(output, product.op === 'MatMul' ? addBehind(graph, product, affine) : input, {
    graph,
    except: [node],
  });
  graph.remove(node);
  return { into };
};

const affineOf = (node: Node): Affine | string => {
  if (node.int('training_mode', 0) === 1 || node.outputs.slice(1).some((value) => value))
    return 'it is in training form';
  if (node.int('spatial', 1) === 0) return 'it normalizes every position by itself';
  const constants = [1, 2, 3, 4].map((index) => constantOf(node.inputs[index]));
  if (constants.some((tensor) => !tensor)) return 'its parameters are not constant';
  const [gamma, beta, mean, variance] = constants.map((tensor) => readNumbers(tensor!));
  const epsilon = node.float('epsilon', Math.fround(1e-5));
  const scale = Float64Array.from(gamma!, (value, channel) => value / Math.sqrt(variance![channel]! + epsilon));
  return { scale, shift: Float64Array.from(beta!, (value, channel) => value - mean![channel]! * scale[channel]!) };
};

/** Scales weight and bias of a product; returns why not where that cannot be. */
const foldInto = (graph: Graph, product: Node, rank: number | undefined, affine: Affine): string | undefined => {
  const weightValue = product.inputs[1];
  const weight = constantOf(weightValue);
  if (!['Conv', 'ConvTranspose', 'Gemm', 'MatMul'].includes(product.op)) return `its input comes from ${product.op}`;
  if (!weight) return `the weight of ${labelOf(product)} is not constant`;
  if (weight.kind === 'packed') return `the weight of ${labelOf(product)} is quantized`;
  const channelOf = channelIndex(product, weight, rank, affine.scale.length);
  if (!channelOf) return `the channels of ${labelOf(product)} are not those of the normalization`;
  const bias = product.op === 'MatMul' ? undefined : biasOf(product, affine);
  if (typeof bias === 'string') return bias;
  const scaled = scaledWeight(weight, channelOf, affine.scale);
  product.setInput(1, newConstant(graph, weightValue, `${labelOf(product)}_weight`, scaled));
  if (bias) {
    const tensor = tensorOf(weight.dtype, [bias.length], bias);
    product.setInput(2, newConstant(graph, product.inputs[2], `${labelOf(product)}_bias`, tensor));
    if (product.op === 'Gemm') product.setAttribute('beta', floatAttribute(1));
  }
  return undefined;
};

/** The constant's own value where only this product reads it, else a new initializer. */
const newConstant = (graph: Graph, value: Value | undefined, name: string, tensor: Tensor): Value => {
  const own =
    value?.tensor && value.useSet.size === 1 && !graph.outputs.includes(value) && graph.initializers.has(value);
  if (!own) return graph.addInitializer(freshName(graph, value?.name ?? name), tensor);
  setConstant(value, tensor);
  return value;
};

/** Output channel of the weight element at an index of the flattened weight; undefined where channels do not fit. */
const channelIndex = (
  product: Node,
  weight: Tensor,
  rank: number | undefined,
  channels: number,
): ((index: number) => number) | undefined => {
  const [first = 1, second = 1, ...kernel] = weight.shape;
  const inner = kernel.reduce((size, dim) => size * dim, 1);
  switch (product.op) {
    case 'Conv':
      return first === channels ? (index) => Math.floor(index / (second * inner)) : undefined;
    case 'ConvTranspose': {
      const groups = product.int('group', 1);
      const inputsPerGroup = first / groups;
      if (second * groups !== channels) return undefined;
      return (index) => {
        const input = Math.floor(index / (second * inner));
        return Math.floor(input / inputsPerGroup) * second + (Math.floor(index / inner) % second);
      };
    }
    case 'Gemm': {
      const rowsFirst = product.int('transB', 0) === 1;
      if ((rowsFirst ? first : second) !== channels) return undefined;
      return rowsFirst ? (index) => Math.floor(index / second) : (index) => index % second;
    }
    default: {
      return weight.shape.length === 2 && rank === 2 && second === channels ? (index) => index % second : undefined;
    }
  }
};

const scaledWeight = (weight: Tensor, channelOf: (index: number) => number, scale: Float64Array): Tensor => {
  const numbers = Float64Array.from(readNumbers(weight));
  for (let index = 0; index < numbers.length; index++) numbers[index]! *= scale[channelOf(index)]!;
  return tensorOf(weight.dtype, weight.shape, numbers);
};

/** The new bias of a Conv, ConvTranspose or Gemm, or why there can be none. */
const biasOf = (product: Node, { scale, shift }: Affine): Float64Array | string => {
  if (!product.inputs[2]) return shift;
  const bias = constantOf(product.inputs[2]);
  if (!bias) return `the bias of ${labelOf(product)} is not constant`;
  const numbers = readNumbers(bias);
  const lastAxis = bias.shape.at(-1) ?? 1;
  if (numbers.length !== 1 && (numbers.length !== scale.length || lastAxis !== scale.length))
    return `the bias of ${labelOf(product)} is no vector over the channels`;
  const factor = product.op === 'Gemm' ? product.float('beta', 1) : 1;
  return shift.map((value, channel) => value + factor * numbers[numbers.length === 1 ? 0 : channel]! * scale[channel]!);
};

/** A bias behind a MatMul; returns its output. */
const addBehind = (graph: Graph, product: Node, { shift }: Affine): Value => {
  const result = product.outputs[0]!;
  const dtype = constantOf(product.inputs[1])?.dtype ?? 'float32';
  const bias = graph.addInitializer(freshName(graph, `${result.name}_bias`), tensorOf(dtype, [shift.length], shift));
  const sum = new Value(freshName(graph, `${result.name}_biased`), result.type);
  const add = new Node({ op: 'Add', inputs: [result, bias], outputs: [sum] });
  graph.insertAfter(add, product);
  return sum;
};
