import { z } from 'zod';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { bytesToFloat, packRows, transposeF32, transposeU8, unpackRows } from '../../../kernels/index.ts';
import { parseConfig, type QuantizationConfig } from '../quantized/config.ts';
import { isScaleType, modulesWith, PartReader, type QuantizedModule, scaleTypes } from '../quantized/modules.ts';
import type { SafetensorsSource } from '../safetensors/open.ts';

/** The one width that AWQ checkpoints have. */
const bits = 4;
const codesPerWord = 32 / bits;

/** Which of eight neighbouring outputs lies at each place of a word, from the low bits up. */
const outputAtPlace = [0, 2, 4, 6, 1, 3, 5, 7] as const;

const schema = z.looseObject({
  bits: z.literal(bits).optional(),
  w_bit: z.literal(bits).optional(),
  group_size: z.union([z.literal(-1), z.int().min(1)]).optional(),
  q_group_size: z.union([z.literal(-1), z.int().min(1)]).optional(),
  version: z
    .string()
    .transform((text) => text.toLowerCase())
    .pipe(z.literal('gemm'))
    .optional(),
});

/** Codes (lines, outputs), one a byte, from words (lines, outputs / 8). */
const unpackLines = (words: Uint8Array, lines: number, outputs: number): Uint8Array => {
  const places = unpackRows({ packed: words, rows: lines, columns: outputs, bits });
  const made = new Uint8Array(places.length);
  for (let word = 0; word < places.length; word += codesPerWord)
    for (const [place, output] of outputAtPlace.entries()) made[word + output] = places[word + place]!;
  return made;
};

const readModule = (reader: PartReader, path: string, said: number): QuantizedModule | undefined => {
  const names = { weights: `${path}.qweight`, zeros: `${path}.qzeros`, scales: `${path}.scales` };
  const qweight = reader.take(names.weights, ['int32'], 2);
  const qzeros = reader.take(names.zeros, ['int32'], 2);
  const scales = reader.take(names.scales, scaleTypes, 2);
  if (!qweight || !qzeros || !scales || !isScaleType(scales.dtype)) return undefined;
  const [columns = 0, words = 0] = qweight.shape;
  const rows = words * codesPerWord;
  const groupSize = said === -1 ? columns : Math.min(said, columns);
  const groups = Math.ceil(columns / groupSize);
  const fits = [
    reader.expectShape(names.scales, scales, [groups, rows]),
    reader.expectShape(names.zeros, qzeros, [groups, words]),
  ];
  if (fits.includes(false)) return undefined;
  const { dtype } = scales;
  const tensor = PackedTensor.deferred(
    {
      rows,
      columns,
      bits,
      storedBits: bits,
      dtype,
      groupSize,
      shape: [rows, columns],
      layout: 'rows-first',
      method: 'awq',
    },
    {
      codes: () =>
        packRows({
          codes: transposeU8(unpackLines(qweight.bytes(), columns, rows), columns, rows),
          ...{ rows, columns, bits },
        }),
      scales: () => transposeF32(bytesToFloat(scales.bytes(), dtype), groups, rows),
      zeroPoints: () => transposeU8(unpackLines(qzeros.bytes(), groups, rows), groups, rows),
    },
  );
  return { path, parts: Object.values(names), tensor };
};

/**
 * The quantized modules of an AWQ checkpoint in its 'gemm' layout: `qweight` int32 (columns, rows / 8), eight outputs
 * to a word in an order of their own, `qzeros` likewise by groups, `scales` (groups, rows). Reads no weight.
 * @throws everything that is wrong with the description and the tensors.
 */
export const readAwq = (source: SafetensorsSource, description: QuantizationConfig): QuantizedModule[] => {
  const config = parseConfig(schema, description);
  const reader = new PartReader(source);
  const size = config.group_size ?? config.q_group_size ?? 128;
  const modules = modulesWith(source, 'qweight').flatMap((path) => readModule(reader, path, size) ?? []);
  reader.finish();
  return modules;
};
