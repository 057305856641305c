import { CodebookTensor } from '../../../ir/codebook-tensor.ts';
import { type DataType, isFloat } from '../../../ir/data-type.ts';
import type { Program } from '../../../ir/graph.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { elementCount } from '../../../ir/shape.ts';
import { constantOf, graphsWithin, nodesWithin } from '../../../ir/walk.ts';
import type { PrecisionName } from '../format.ts';

/** What the file names of a precision end in, as transformers.js looks for them. */
export const fileSuffixes: Readonly<Record<PrecisionName, string>> = {
  fp32: '',
  fp16: '_fp16',
  q8: '_quantized',
  int8: '_int8',
  uint8: '_uint8',
  q4: '_q4',
  q4f16: '_q4f16',
  q2: '_q2',
  q2f16: '_q2f16',
  bnb4: '_bnb4',
};

/** The key with the largest count; undefined when there is none. Of equal ones the first. */
const mostOf = <K>(counts: ReadonlyMap<K, number>): K | undefined =>
  [...counts].reduce<readonly [K, number] | undefined>(
    (best, entry) => (best && best[1] >= entry[1] ? best : entry),
    undefined,
  )?.[0];

const add = <K>(counts: Map<K, number>, key: K, count: number): void => {
  counts.set(key, (counts.get(key) ?? 0) + count);
};

const integerOps = new Set([
  'MatMulInteger',
  'ConvInteger',
  'DequantizeLinear',
  'DynamicQuantizeLinear',
  'DynamicQuantizeLSTM',
  'QLinearConv',
  'QLinearMatMul',
]);

/** Bits of the weights of block-wise operators that a graph holds already, by elements. */
const countOperators = (program: Program, bits: Map<number, number>): void => {
  for (const node of nodesWithin(program.graph))
    if (node.op === 'MatMulNBits') add(bits, node.int('bits', 4), node.int('K', 0) * node.int('N', 0));
    else if (integerOps.has(node.op)) add(bits, 8, 1);
};

/**
 * What a model counts as: by the bits that most of its quantized weights have, and, where none are, by the type of most
 * of its floating-point weights. Half-precision models with quantized weights have names of their own below 8 bits.
 */
export const precisionOf = (program: Program): PrecisionName => {
  const bits = new Map<number, number>();
  const types = new Map<DataType, number>();
  for (const graph of graphsWithin(program.graph))
    for (const value of [...graph.initializers, ...graph.nodes.flatMap((node) => [...node.outputs])]) {
      const tensor = constantOf(value);
      if (!tensor || !isFloat(tensor.dtype)) continue;
      const count = elementCount(tensor.shape);
      add(types, tensor.dtype, count);
      if (tensor instanceof CodebookTensor) return tensor.facts.name === 'nf4' ? 'bnb4' : 'fp32';
      if (tensor instanceof PackedTensor) add(bits, tensor.facts.storedBits, count);
    }
  countOperators(program, bits);
  const half = mostOf(types) === 'float16';
  switch (mostOf(bits)) {
    case 2:
      return half ? 'q2f16' : 'q2';
    case 4:
      return half ? 'q4f16' : 'q4';
    case undefined:
      return half ? 'fp16' : 'fp32';
    default:
      return 'q8';
  }
};
