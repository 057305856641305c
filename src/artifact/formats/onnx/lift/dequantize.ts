import { nameSource } from '../../../../ir/edit/names.ts';
import { removeDead } from '../../../../ir/edit/remove-dead.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import type { Node, Program, Use, Value } from '../../../../ir/graph.ts';
import { type PackedFacts, PackedTensor } from '../../../../ir/packed-tensor.ts';
import { readFloats } from '../../../../ir/read.ts';
import type { Tensor } from '../../../../ir/tensor.ts';
import { constantOf, graphsWithin } from '../../../../ir/walk.ts';
import { packRows, transposeF32, transposeU8, unpackFlat } from '../../../../kernels/index.ts';

interface CodeType {
  readonly bits: 2 | 4 | 8;
  readonly signed: boolean;
}

const codeTypes: Readonly<Record<string, CodeType>> = {
  int2: { bits: 2, signed: true },
  uint2: { bits: 2, signed: false },
  int4: { bits: 4, signed: true },
  uint4: { bits: 4, signed: false },
  int8: { bits: 8, signed: true },
  uint8: { bits: 8, signed: false },
};

type Layout = 'rows-first' | 'rows-last';

/** How a use reads a matrix; undefined for uses that are no weight of a product or lookup. */
const layoutOf = ({ node, index }: Use): Layout | undefined => {
  if (node.domain !== '') return undefined;
  if (node.op === 'MatMul' && index === 1) return 'rows-last';
  if (node.op === 'Gemm' && index === 1) return node.int('transB', 0) === 1 ? 'rows-first' : 'rows-last';
  if (node.op === 'Gather' && index === 0 && node.int('axis', 0) === 0) return 'rows-first';
  return node.op === 'Transpose' && index === 0 ? 'rows-first' : undefined;
};

/** A product whose activations are rounded too belongs to integer arithmetic and stays as it is. */
const computesInIntegers = ({ node, index }: Use): boolean =>
  index === 1 && node.inputs[0]?.producer?.op === 'DequantizeLinear';

interface Quantized {
  readonly codes: Tensor;
  readonly scales: Tensor;
  readonly zeroPoints: Tensor | undefined;
  readonly type: CodeType;
  readonly layout: Layout;
  readonly rows: number;
  readonly columns: number;
  readonly groupSize: number;
}

/** The parts of a dequantized matrix whose scales run along its columns or stand for whole rows. */
const partsOf = (node: Node, output: Value): Quantized | undefined => {
  const [codes, scales, zeroPoints] = node.inputs.map((value) => constantOf(value));
  const type = codes && codeTypes[codes.dtype];
  const layouts = new Set(output.uses.map(layoutOf));
  const [layout] = layouts;
  if (!codes || !scales || !type || !layout || layouts.size > 1 || codes.shape.length !== 2) return undefined;
  if (node.inputs[2] && !zeroPoints) return undefined;
  if (output.uses.some(computesInIntegers)) return undefined;
  if (scales.dtype !== 'float32' && scales.dtype !== 'float16' && scales.dtype !== 'bfloat16') return undefined;
  const [a = 0, b = 0] = codes.shape;
  const [rows, columns] = layout === 'rows-last' ? [b, a] : [a, b];
  const columnAxis = layout === 'rows-last' ? 0 : 1;
  const given = node.int('axis', 1);
  const axis = given < 0 ? given + 2 : given;
  const blockSize = node.int('block_size', 0);
  const common = { codes, scales, zeroPoints, type, layout, rows, columns };
  if (blockSize === 0)
    return scales.shape.length === 1 && axis === 1 - columnAxis ? { ...common, groupSize: columns } : undefined;
  return axis === columnAxis ? { ...common, groupSize: blockSize } : undefined;
};

/** Codes and zero points around 2^(bits-1) in the order (rows, columns or groups), one a byte. */
const raised = (tensor: Tensor, { type, layout, rows }: Quantized): Uint8Array => {
  const count = tensor.shape.reduce((product, dim) => product * dim, 1);
  const plain = unpackFlat(tensor.bytes(), count, type.bits);
  const half = 2 ** (type.bits - 1);
  const codes = type.signed ? plain.map((code) => code ^ half) : plain;
  return layout === 'rows-last' && tensor.shape.length === 2 ? transposeU8(codes, count / rows, rows) : codes;
};

const packedOf = (parts: Quantized): PackedTensor => {
  const { codes, scales, zeroPoints, type, layout, rows, columns, groupSize } = parts;
  const { bits } = type;
  const middle = 2 ** (bits - 1);
  const groups = Math.ceil(columns / groupSize);
  const facts: Omit<PackedFacts, 'codes' | 'scales' | 'zeroPoints'> = {
    ...{ rows, columns, groupSize, bits, storedBits: bits, layout, method: 'stored' },
    ...{ shape: codes.shape, dtype: scales.dtype as PackedFacts['dtype'] },
  };
  return PackedTensor.deferred(facts, {
    codes: () => packRows({ codes: raised(codes, parts), rows, columns, bits }),
    scales: () => {
      const plain = readFloats(scales);
      return layout === 'rows-last' && scales.shape.length === 2 ? transposeF32(plain, groups, rows) : plain;
    },
    zeroPoints: () => {
      // Without zero points, unsigned codes stand for themselves: their zero is 0.
      if (!zeroPoints) return type.signed ? null : new Uint8Array(rows * groups);
      const zeros = raised(zeroPoints, parts);
      return zeros.every((zero) => zero === middle) ? null : zeros;
    },
  });
};

/** Name of a weight from that of its codes, as lowering made it. */
const weightName = (codes: string): string => codes.replace(/_quantized$/, '');

/**
 * Turns constants behind DequantizeLinear that are nothing but stored weights back into packed ones, in place: the
 * inverse of `lowerToQdq` for matrices. Products whose activations are rounded too stay as they are.
 */
export const liftDequantized = (program: Program): void => {
  let lifted = false;
  for (const graph of graphsWithin(program.graph)) {
    const names = nameSource(graph);
    for (const node of [...graph.nodes]) {
      const output = node.op === 'DequantizeLinear' && node.domain === '' ? node.outputs[0] : undefined;
      const parts = output && partsOf(node, output);
      if (!output || !parts) continue;
      const weight = graph.addInitializer(names.fresh(weightName(node.inputs[0]!.name)), packedOf(parts));
      replaceAllUses(output, weight, { graph });
      lifted = true;
    }
  }
  if (lifted) removeDead(program);
};
