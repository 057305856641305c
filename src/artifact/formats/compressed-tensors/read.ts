import type { DataType } from '../../../ir/data-type.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { readInts } from '../../../ir/read.ts';
import type { Tensor } from '../../../ir/tensor.ts';
import { bytesToFloat, packRows } from '../../../kernels/index.ts';
import { scaledFloats } from '../float8/scaled.ts';
import { readWords, storedBitsFor, wordsPerRow, wordsToStored } from '../packed-words.ts';
import type { QuantizationConfig } from '../quantized/config.ts';
import { groupIndexProblem, inputOrderOf, orderStored } from '../quantized/input-order.ts';
import {
  isScaleType,
  modulesWith,
  PartReader,
  type QuantizedModule,
  type ScaleType,
  scaleTypes,
} from '../quantized/modules.ts';
import type { SafetensorsSource } from '../safetensors/open.ts';
import { decodePackedZeroPoints } from './codec.ts';
import { type CompressedScheme, readCompressedConfig } from './config.ts';

/** Scales of a module as they are stored: one for all, one a row, or one a group. */
interface Grid {
  readonly scales: Tensor & { readonly dtype: ScaleType };
  readonly groupSize: number;
  readonly groups: number;
  /** One scale stands for every row. */
  readonly single: boolean;
}

const readGrid = (
  reader: PartReader,
  name: string,
  [rows, columns]: readonly [number, number],
  scheme: CompressedScheme,
): Grid | undefined => {
  const rank = reader.source.has(name) ? Math.max(1, reader.source.get(name).shape.length) : 2;
  const scales = reader.take(name, scaleTypes, Math.min(rank, 2));
  if (!scales || !isScaleType(scales.dtype)) return undefined;
  const typed = scales as Tensor & { readonly dtype: ScaleType };
  const elements = scales.shape.reduce((product, dim) => product * dim, 1);
  const groupSize = Math.min(scheme.groupSize ?? columns, columns);
  const groups = Math.ceil(columns / groupSize);
  if (elements === 1) return { scales: typed, groupSize: columns, groups: 1, single: true };
  const shape = scales.shape.length === 1 && groups === 1 ? [rows] : [rows, groups];
  return reader.expectShape(name, scales, shape) ? { scales: typed, groupSize, groups, single: false } : undefined;
};

const scalesOf = ({ scales, single }: Grid, rows: number): Float32Array => {
  const stored = bytesToFloat(scales.bytes(), scales.dtype);
  return single ? new Float32Array(rows).fill(stored[0]!) : stored;
};

const sizeOf = (reader: PartReader, name: string): readonly [number, number] | undefined => {
  const stored = reader.take(name, ['int64', 'int32'], 1);
  if (!stored) return undefined;
  const numbers = reader.expectShape(name, stored, [2]) ? readInts(stored) : [];
  const [rows = 0, columns = 0] = numbers;
  if (numbers.length === 2 && rows > 0 && columns > 0) return [rows, columns];
  return reader.complain({
    code: 'malformed',
    tensor: name,
    message: `[${numbers.join(', ')}] is no shape of a matrix`,
  });
};

/** Releases before 0.15 left bits of each word unused where the width does not divide 32. */
const looseWordsPerRow = (columns: number, bits: number): number => Math.ceil(columns / Math.floor(32 / bits));

const looseCodes = (words: Uint8Array, rows: number, columns: number, bits: number): Uint8Array => {
  const perWord = Math.floor(32 / bits);
  const perRow = looseWordsPerRow(columns, bits);
  const view = new Uint32Array(words.slice().buffer);
  const mask = 2 ** bits - 1;
  const made = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const word = view[row * perRow + Math.floor(column / perWord)]!;
      made[row * columns + column] = (word >>> ((column % perWord) * bits)) & mask;
    }
  return made;
};

const readPacked = (reader: PartReader, path: string, scheme: CompressedScheme): QuantizedModule | undefined => {
  const part = (name: string): string => `${path}.weight_${name}`;
  const names = { packed: part('packed'), scale: part('scale'), zeros: part('zero_point'), groups: part('g_idx') };
  const size = sizeOf(reader, part('shape'));
  const packed = reader.take(names.packed, ['int32'], 2);
  const grid = size && readGrid(reader, names.scale, size, scheme);
  if (!size || !packed || !grid) return undefined;
  const [rows, columns] = size;
  const { bits, symmetric } = scheme;
  const { groups, groupSize } = grid;
  const loose = packed.shape[1] !== wordsPerRow(columns, bits);
  if (
    !reader.expectShape(names.packed, packed, [
      rows,
      loose ? looseWordsPerRow(columns, bits) : wordsPerRow(columns, bits),
    ])
  )
    return undefined;
  const zeros = symmetric ? undefined : reader.take(names.zeros, ['int32'], 2);
  if (!symmetric && !(zeros && reader.expectShape(names.zeros, zeros, [wordsPerRow(rows, bits), groups])))
    return undefined;
  const stored = reader.source.has(names.groups) ? reader.take(names.groups, ['int32'], 1) : undefined;
  const groupIndex = stored && reader.expectShape(names.groups, stored, [columns]) ? readWords(stored) : undefined;
  const problem = groupIndex && groupIndexProblem(groupIndex, groupSize);
  if (problem !== undefined) return reader.complain({ code: 'malformed', tensor: names.groups, message: problem });
  const inputOrder = groupIndex && inputOrderOf(groupIndex);
  const storedBits = storedBitsFor(bits);
  const shape = { rows, columns, bits, storedBits };
  const tensor = PackedTensor.deferred(
    {
      ...{ ...shape, groupSize, dtype: grid.scales.dtype, shape: [rows, columns], layout: 'rows-first' },
      ...{ method: 'compressed-tensors', ...(inputOrder ? { inputOrder } : {}) },
    },
    {
      codes: () =>
        orderStored(
          loose
            ? packRows({ codes: looseCodes(packed.bytes(), rows, columns, bits), rows, columns, bits: storedBits })
            : wordsToStored(packed.bytes(), shape),
          shape,
          inputOrder,
        ),
      scales: () => scalesOf(grid, rows),
      zeroPoints: () => (zeros ? decodePackedZeroPoints(zeros.bytes(), { rows, groups, bits }) : null),
    },
  );
  const optional = [zeros && names.zeros, stored && names.groups].filter((name) => name !== undefined);
  return { path, parts: [names.packed, names.scale, part('shape'), ...optional], tensor };
};

const float8Types: readonly DataType[] = ['float8e4m3fn', 'float8e5m2'];

/** Weights that are stored one a byte: int8 around zero, or 8-bit floats. */
const readNaive = (reader: PartReader, path: string, scheme: CompressedScheme): QuantizedModule | undefined => {
  const names = { weight: `${path}.weight`, scale: `${path}.weight_scale`, zeros: `${path}.weight_zero_point` };
  const weight = reader.take(names.weight, ['int8', ...float8Types], 2);
  if (!weight) return undefined;
  if (weight.dtype !== 'int8') {
    const tensor = scaledFloats(reader, names.weight, names.scale);
    return tensor && { path, parts: [names.weight, names.scale], tensor };
  }
  const [rows = 0, columns = 0] = weight.shape;
  const grid = readGrid(reader, names.scale, [rows, columns], scheme);
  const zeros = scheme.symmetric ? undefined : reader.take(names.zeros, ['int8'], 2);
  if (!grid || (!scheme.symmetric && !(zeros && reader.expectShape(names.zeros, zeros, grid.scales.shape))))
    return undefined;
  const { bits } = scheme;
  const middle = 2 ** (bits - 1);
  const storedBits = storedBitsFor(bits);
  const raised = (bytes: Uint8Array): Uint8Array => bytes.map((code) => code + middle);
  const tensor = PackedTensor.deferred(
    {
      ...{ rows, columns, bits, storedBits, groupSize: grid.groupSize, dtype: grid.scales.dtype },
      ...{ shape: [rows, columns], layout: 'rows-first', method: 'compressed-tensors' },
    },
    {
      codes: () => packRows({ codes: raised(weight.bytes()), rows, columns, bits: storedBits }),
      scales: () => scalesOf(grid, rows),
      zeroPoints: () => {
        if (!zeros) return null;
        const stored = raised(zeros.bytes());
        return grid.single ? new Uint8Array(rows).fill(stored[0]!) : stored;
      },
    },
  );
  return { path, parts: [names.weight, names.scale, ...(zeros ? [names.zeros] : [])], tensor };
};

/**
 * The quantized modules of a compressed-tensors checkpoint: pack-quantized, int8 and 8-bit float weights. Scales of
 * activations are left aside: they are no part of the weights. Reads shapes and group indices, no weight.
 * @throws everything that is wrong with the description and the tensors.
 */
export const readCompressedTensors = (
  source: SafetensorsSource,
  description: QuantizationConfig,
): QuantizedModule[] => {
  const schemeOf = readCompressedConfig(description);
  const reader = new PartReader(source);
  const read = (path: string, part: string, readModule: typeof readPacked): QuantizedModule[] => {
    const scheme = schemeOf(path);
    if (scheme) return [readModule(reader, path, scheme) ?? []].flat();
    reader.complain({
      code: 'mismatch',
      tensor: `${path}.${part}`,
      message: 'no group of config_groups covers this quantized module',
    });
    return [];
  };
  const packed = modulesWith(source, 'weight_packed');
  const known = new Set(packed);
  const modules = [
    ...packed.flatMap((path) => read(path, 'weight_packed', readPacked)),
    ...modulesWith(source, 'weight_scale')
      .filter((path) => !known.has(path))
      .flatMap((path) => read(path, 'weight_scale', readNaive)),
  ];
  reader.finish();
  const noise = source.names.filter((name) => /\.(input|output)_(scale|zero_point|global_scale)$/.test(name));
  return modules.map((module, index) => (index === 0 ? { ...module, parts: [...module.parts, ...noise] } : module));
};
