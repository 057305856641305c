import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { bytesToFloat, transposeF32 } from '../../../kernels/index.ts';
import { readWords, storedBitsFor, wordsPerRow } from '../packed-words.ts';
import type { QuantizationConfig } from '../quantized/config.ts';
import { groupIndexProblem, inputOrderOf, orderStored } from '../quantized/input-order.ts';
import { isScaleType, modulesWith, PartReader, type QuantizedModule, scaleTypes } from '../quantized/modules.ts';
import type { SafetensorsSource } from '../safetensors/open.ts';
import { decodeWeights, decodeZeroPoints } from './codec.ts';
import { type GptqConfig, readGptqConfig } from './config.ts';

const readModule = (reader: PartReader, path: string, config: GptqConfig): QuantizedModule | undefined => {
  const { bits, groupSize: said } = config.schemeOf(path);
  const names = {
    weights: `${path}.qweight`,
    zeros: `${path}.qzeros`,
    scales: `${path}.scales`,
    groups: `${path}.g_idx`,
  };
  const qweight = reader.take(names.weights, ['int32'], 2);
  const qzeros = reader.take(names.zeros, ['int32'], 2);
  const scales = reader.take(names.scales, scaleTypes, 2);
  if (!qweight || !qzeros || !scales || !isScaleType(scales.dtype)) return undefined;
  const [words = 0, rows = 0] = qweight.shape;
  const columns = (words * 32) / bits;
  const groupSize = said === -1 ? columns : Math.min(said, columns);
  const groups = Math.ceil(columns / groupSize);
  if (!Number.isInteger(columns) || columns === 0)
    return reader.complain({
      code: 'mismatch',
      tensor: names.weights,
      message: `${words} words of 32 bits hold no whole number of ${bits}-bit codes`,
      hint: 'The bits that quantization_config names may not be those of these weights.',
    });
  const fits = [
    reader.expectShape(names.scales, scales, [groups, rows]),
    reader.expectShape(names.zeros, qzeros, [groups, wordsPerRow(rows, bits)]),
  ];
  const stored = reader.source.has(names.groups) ? reader.take(names.groups, ['int32'], 1) : undefined;
  if (fits.includes(false) || (stored && !reader.expectShape(names.groups, stored, [columns]))) return undefined;
  const groupIndex = stored && readWords(stored);
  const problem = groupIndex && groupIndexProblem(groupIndex, groupSize);
  if (problem !== undefined) return reader.complain({ code: 'malformed', tensor: names.groups, message: problem });
  const inputOrder = groupIndex && inputOrderOf(groupIndex);
  const size = { rows, columns, bits, storedBits: storedBitsFor(bits) };
  const { dtype } = scales;
  const tensor = PackedTensor.deferred(
    {
      ...{ ...size, dtype, groupSize, shape: [rows, columns], layout: 'rows-first', method: 'gptq' },
      ...(inputOrder ? { inputOrder } : {}),
    },
    {
      codes: () => orderStored(decodeWeights(qweight.bytes(), size), size, inputOrder),
      scales: () => transposeF32(bytesToFloat(scales.bytes(), dtype), groups, rows),
      zeroPoints: () => {
        const zeros = decodeZeroPoints(qzeros.bytes(), { rows, groups, bits }, config.format);
        return zeros.every((zero) => zero === 2 ** (bits - 1)) ? null : zeros;
      },
    },
  );
  const parts = [names.weights, names.zeros, names.scales, ...(stored ? [names.groups] : [])];
  return { path, parts, tensor };
};

/**
 * The quantized modules of a GPTQ checkpoint. Reads group indices, no weight.
 * @throws everything that is wrong with the description and the tensors.
 */
export const readGptq = (source: SafetensorsSource, description: QuantizationConfig): QuantizedModule[] => {
  const config = readGptqConfig(description);
  const reader = new PartReader(source);
  const modules = modulesWith(source, 'qweight').flatMap((path) => readModule(reader, path, config) ?? []);
  reader.finish();
  return modules;
};
