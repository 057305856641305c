import type { OperatorBuilder } from '../../ir/build.ts';
import { type Attribute, intAttribute, type Node, type Value } from '../../ir/graph.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { readFloats } from '../../ir/read.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { constantOf } from '../../ir/walk.ts';
import { packRows, unpackBlocks, unpackRows } from '../../kernels/index.ts';
import { fusedActivation } from './activations.ts';
import { type Decomposition, inputNeeded, rankNeeded, refuse } from './decomposition.ts';

/** com.microsoft FusedMatMul: α·op(A)·op(B); transBatch moves the first axis behind the batch axes. */
export const fusedMatmul: Decomposition = (node, build) => {
  const operand = (index: number, letter: string): Value => {
    const x = inputNeeded(node, index);
    const rank = rankNeeded(node, x);
    const axes = Array.from({ length: rank }, (_, axis) => axis);
    const moved = node.int(`transBatch${letter}`, 0) === 1 && rank > 2 ? [...axes.slice(1, -1), 0, rank - 1] : axes;
    const order =
      node.int(`trans${letter}`, 0) === 1 && rank > 1 ? [...moved.slice(0, -2), moved.at(-1)!, moved.at(-2)!] : moved;
    return order.every((axis, at) => axis === at) ? x : build.transpose(x, order);
  };
  const product = build.call('MatMul', [operand(0, 'A'), operand(1, 'B')]);
  const alpha = node.float('alpha', 1);
  return [alpha === 1 ? product : build.scale(product, alpha)];
};

const attributesOf = (node: Node, names: readonly string[]): Record<string, Attribute> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const attribute = node.attributes.get(name);
      return attribute ? [[name, attribute] as const] : [];
    }),
  );

/** com.microsoft FusedGemm: Gemm and an activation. */
export const fusedGemm: Decomposition = (node, build) => {
  const product = build.call('Gemm', node.inputs, attributesOf(node, ['alpha', 'beta', 'transA', 'transB']));
  return [fusedActivation(node, build, product)];
};

/** com.microsoft FusedConv: Conv, a sum and an activation. */
export const fusedConvolution: Decomposition = (node, build) => {
  const [x, weight, bias, added] = node.inputs;
  const names = ['auto_pad', 'dilations', 'group', 'kernel_shape', 'pads', 'strides'];
  const product = build.call('Conv', [x, weight, ...(bias ? [bias] : [])], attributesOf(node, names));
  return [fusedActivation(node, build, added ? build.add(product, added) : product)];
};

/** A constant that a quantized operator reads. */
const constantNeeded = (node: Node, index: number): Tensor =>
  constantOf(node.inputs[index]) ??
  refuse(
    node,
    `has computed integers (input ${index})`,
    'Only constant quantized weights can be differentiated through.',
  );

/** Zero points of each block, packed or one a byte; null for the middle of the range. */
const zeroPoints = (node: Node, index: number, rows: number, blocks: number, bits: 2 | 4 | 8): Uint8Array | null => {
  if (!node.inputs[index]) return null;
  const tensor = constantNeeded(node, index);
  if (tensor.dtype !== 'uint8')
    return refuse(node, `has zero points of type ${tensor.dtype}`, 'Write the model with integer zero points.');
  return unpackRows({ packed: tensor.bytes(), rows, columns: blocks, bits });
};

const storedBits = (node: Node, fallback: number): 2 | 4 | 8 => {
  const bits = node.int('bits', fallback);
  if (bits === 2 || bits === 4 || bits === 8) return bits;
  return refuse(node, `stores ${bits} bits a weight`, 'Only 2, 4 and 8 bits are known.');
};

/** The codes, scales and zero points of a block-quantized matrix as a constant weight. */
const packedWeight = (
  node: Node,
  build: OperatorBuilder,
  sizes: { readonly rows: number; readonly columns: number; readonly blockSize: number; readonly bits: 2 | 4 | 8 },
  inputs: { readonly codes: number; readonly scales: number; readonly zeroPoints: number },
  layout: 'rows-first' | 'rows-last',
): Value => {
  const { rows, columns, blockSize, bits } = sizes;
  const blocks = Math.ceil(columns / blockSize);
  const codes = unpackBlocks({ packed: constantNeeded(node, inputs.codes).bytes(), rows, columns, bits, blockSize });
  const scales = constantNeeded(node, inputs.scales);
  return build.constant(
    new PackedTensor({
      dtype: scales.dtype === 'float16' ? 'float16' : 'float32',
      shape: layout === 'rows-first' ? [rows, columns] : [columns, rows],
      ...{ layout, rows, columns, bits, storedBits: bits, groupSize: blockSize },
      codes: packRows({ codes, rows, columns, bits }),
      scales: readFloats(scales),
      zeroPoints: zeroPoints(node, inputs.zeroPoints, rows, blocks, bits),
      method: 'read',
    }),
  );
};

/** com.microsoft MatMulNBits: a product with a constant weight in blocks. */
export const matmulNBits: Decomposition = (node, build) => {
  if (node.inputs[4]) return refuse(node, 'orders its columns (g_idx)', 'Write the weight in the order of its inputs.');
  const [rows, columns] = [node.int('N', 0), node.int('K', 0)];
  const sizes = { rows, columns, blockSize: node.int('block_size', 32), bits: storedBits(node, 4) };
  const weight = packedWeight(node, build, sizes, { codes: 1, scales: 2, zeroPoints: 3 }, 'rows-last');
  const product = build.call('MatMul', [inputNeeded(node, 0), weight]);
  const bias = node.inputs[5];
  return [bias ? build.add(product, bias) : product];
};

/** com.microsoft GatherBlockQuantized: rows of a constant table in blocks. */
export const gatherBlockQuantized: Decomposition = (node, build) => {
  const data = constantNeeded(node, 0);
  const scales = constantNeeded(node, 2);
  const bits = storedBits(node, 4);
  const blockSize = node.int('block_size', 128);
  const rows = data.shape[0] ?? 0;
  const plain = node.int('gather_axis', 0) === 0 && node.int('quantize_axis', 1) === 1 && data.shape.length === 2;
  if (!plain || data.dtype !== 'uint8')
    return refuse(node, 'is no lookup of rows in bytes', 'Write the model with tables (rows, columns) in uint8.');
  const columns = ((data.shape[1] ?? 0) * 8) / bits;
  if (columns !== (scales.shape[1] ?? 0) * blockSize)
    return refuse(node, 'has blocks that are not full', 'Write the table with whole blocks.');
  const table = packedWeight(
    node,
    build,
    { rows, columns, blockSize, bits },
    { codes: 0, scales: 2, zeroPoints: 3 },
    'rows-first',
  );
  return [build.call('Gather', [table, inputNeeded(node, 1)], { axis: intAttribute(0) })];
};
