import { z } from 'zod';
import type { JsonObject } from '../../../families/family.ts';
import { scatterColumns } from '../../../ir/column-order.ts';
import { intTensor } from '../../../ir/read.ts';
import { DerivedTensor, MemoryTensor } from '../../../ir/tensor.ts';
import { floatToBytes, unpackRows } from '../../../kernels/index.ts';
import type { FormatCard } from '../format.ts';
import {
  scaleFinding,
  storageType,
  storageTypeOf,
  storedAs,
  weightsName,
  withStorageType,
  writeCheckpoint,
} from '../huggingface/write.ts';
import { packWords, storedToWords, wordsPerRow } from '../packed-words.ts';
import { groupIndexOf } from '../quantized/input-order.ts';
import type { ScaleType } from '../quantized/modules.ts';
import { type ModuleScheme, packedFacts, schemeOf } from '../quantized/schemes.ts';
import { foreseeSplit, type Obstacle, type PackedModule, type SplitWeights, splitWeights } from '../quantized/split.ts';
import type { NamedTensor } from '../safetensors/write.ts';
import { encodePackedZeroPoints } from './codec.ts';

const options = z.strictObject({ dtype: storageType });

/** Why pack-quantized checkpoints cannot hold a weight; undefined when they can. */
const compressedObstacle: Obstacle = ({ columns, groupSize }) => {
  return groupSize < columns && columns % groupSize !== 0
    ? `groups of ${groupSize} do not divide its ${columns} inputs`
    : undefined;
};

const codesOf = ({ tensor, inputOrder }: PackedModule): Uint8Array => {
  const { facts } = tensor;
  const { rows, columns, bits, storedBits, codes } = facts;
  if (!inputOrder) return storedToWords(codes, facts);
  const plain = unpackRows({ packed: codes, rows, columns, bits: storedBits });
  return packWords(scatterColumns(plain, rows, inputOrder), rows, columns, bits);
};

const moduleTensors = (module: PackedModule, dtype: ScaleType): NamedTensor[] => {
  const { path, tensor, inputOrder } = module;
  const { facts, groups } = tensor;
  const { rows, columns, bits, groupSize, zeroPoints } = facts;
  const part = (name: string): string => `${path}.weight_${name}`;
  const grid = { rows, groups, bits };
  const scales = new DerivedTensor('float32', [rows, groups], () => floatToBytes(facts.scales, 'float32'));
  const made: NamedTensor[] = [
    {
      name: part('packed'),
      tensor: new DerivedTensor('int32', [rows, wordsPerRow(columns, bits)], () => codesOf(module)),
    },
    { name: part('scale'), tensor: storedAs(part('scale'), scales, dtype) },
    { name: part('shape'), tensor: intTensor([2], [rows, columns]) },
  ];
  if (zeroPoints)
    made.push({
      name: part('zero_point'),
      tensor: new DerivedTensor('int32', [wordsPerRow(rows, bits), groups], () =>
        encodePackedZeroPoints(zeroPoints, grid),
      ),
    });
  if (inputOrder) {
    const groupIndex = groupIndexOf(columns, groupSize, inputOrder);
    made.push({
      name: part('g_idx'),
      tensor: new MemoryTensor('int32', [columns], new Uint8Array(groupIndex.buffer)),
    });
  }
  return made;
};

/** Modules with a scheme of their own, in the order in which they come. */
const byScheme = (packed: readonly PackedModule[]): { scheme: ModuleScheme; ordered: boolean; paths: string[] }[] => {
  const found = new Map<string, { scheme: ModuleScheme; ordered: boolean; paths: string[] }>();
  for (const { path, tensor, inputOrder } of packed) {
    const scheme = schemeOf(tensor);
    const ordered = inputOrder !== undefined;
    const key = JSON.stringify([scheme, ordered]);
    const entry = found.get(key) ?? { scheme, ordered, paths: [] };
    entry.paths.push(path);
    found.set(key, entry);
  }
  return [...found.values()].sort((a, b) => b.paths.length - a.paths.length);
};

/** `quantization_config`: the most usual scheme for the class Linear, the others by module path. */
const describe = ({ packed, plainLinear }: SplitWeights, tied: boolean): JsonObject => ({
  quant_method: 'compressed-tensors',
  format: 'pack-quantized',
  quantization_status: 'compressed',
  config_groups: Object.fromEntries(
    byScheme(packed).map(({ scheme, ordered, paths }, index) => [
      `group_${index}`,
      {
        targets: index === 0 ? ['Linear'] : paths,
        weights: {
          num_bits: scheme.bits,
          type: 'int',
          symmetric: scheme.symmetric,
          strategy: scheme.groupSize === -1 ? 'channel' : 'group',
          group_size: scheme.groupSize === -1 ? null : scheme.groupSize,
          actorder: ordered ? 'group' : null,
          dynamic: false,
        },
        input_activations: null,
        output_activations: null,
      },
    ]),
  ),
  ignore: [...plainLinear, ...(tied ? ['lm_head'] : [])],
  kv_cache_scheme: null,
});

/** A compressed-tensors checkpoint folder: integers as they are, nothing is quantized anew. */
export const compressedTensorsFormat: FormatCard<z.output<typeof options>> = {
  name: 'compressed-tensors',
  summary: 'checkpoint folder for vLLM and transformers in the pack-quantized form of compressed-tensors, 2 to 8 bits',
  options,
  layout: undefined,
  foresee: foreseeSplit('compressed-tensors', compressedObstacle),
  async write(model, directory, chosen, context) {
    const split = splitWeights(model, 'compressed-tensors', compressedObstacle);
    const dtype = storageTypeOf(chosen.dtype, model);
    const tensors = [
      ...split.plain.map(({ name, tensor }) => ({ name, tensor: storedAs(name, tensor, dtype) })),
      ...split.packed.flatMap((module) => moduleTensors(module, dtype)),
    ];
    const tied = !split.packed.some(({ path }) => path === 'lm_head') && !split.plainLinear.includes('lm_head');
    const config = { ...withStorageType(model.config ?? {}, dtype), quantization_config: describe(split, tied) };
    const files = await writeCheckpoint(directory, { config, tensors }, context);
    const rounded = scaleFinding(split.packed, dtype);
    return {
      files,
      entry: weightsName,
      weights: packedFacts(split, 'pack-quantized'),
      findings: [...split.findings, ...(rounded ? [rounded] : [])],
    };
  },
};
