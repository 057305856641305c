import { z } from 'zod';
import { CompressError } from '../../../errors.ts';
import type { JsonObject } from '../../../families/family.ts';
import type { PackedTensor } from '../../../ir/packed-tensor.ts';
import { DerivedTensor, MemoryTensor } from '../../../ir/tensor.ts';
import { transposeF32 } from '../../../kernels/index.ts';
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
import { wordsPerRow } from '../packed-words.ts';
import { groupIndexOf } from '../quantized/input-order.ts';
import { packedFacts, plainPattern, schemesOf } from '../quantized/schemes.ts';
import { foreseeSplit, type Obstacle, type PackedModule, type SplitWeights, splitWeights } from '../quantized/split.ts';
import type { NamedTensor } from '../safetensors/write.ts';
import { encodeWeights, encodeZeroPoints } from './codec.ts';
import { type GptqFormat, gptqBits, gptqFormats } from './config.ts';

const options = z.strictObject({
  checkpoint_format: z
    .enum(['auto', ...gptqFormats])
    .default('auto')
    .describe(
      'gptq: zero points stored less one, which every loader reads; gptq_v2: as they are; auto: gptq for symmetric integers, gptq_v2 for others (GPTQModel takes those from other tools in no other form, and gptq cannot hold a zero point of 0).',
    ),
  dtype: storageType,
});

/** Scales are half precision numbers: kernels take nothing else. */
type GptqScaleType = 'float16' | 'bfloat16';

/** Why GPTQ checkpoints cannot hold a weight; undefined when they can. */
const gptqObstacle: Obstacle = ({ rows, columns, bits }) => {
  if (!gptqBits.some((known) => known === bits))
    return `its codes have ${bits} bits, GPTQ knows ${gptqBits.join(', ')}`;
  if (columns % 32 !== 0 || (rows * bits) % 32 !== 0)
    return `its ${rows} outputs and ${columns} inputs do not fill words of 32 bits (inputs: a multiple of 32)`;
  return undefined;
};

const zeroPointsOf = ({ facts, groups }: PackedTensor): Uint8Array =>
  facts.zeroPoints ?? new Uint8Array(facts.rows * groups).fill(2 ** (facts.bits - 1));

const moduleTensors = (
  { path, tensor, inputOrder }: PackedModule,
  format: GptqFormat,
  scaleType: GptqScaleType,
): NamedTensor[] => {
  const { facts, groups } = tensor;
  const { rows, columns, bits, groupSize } = facts;
  const groupIndex = groupIndexOf(columns, groupSize, inputOrder);
  const words = { weights: [wordsPerRow(columns, bits), rows], zeros: [groups, wordsPerRow(rows, bits)] };
  const lazy = (dtype: 'int32' | GptqScaleType, shape: readonly number[], compute: () => Uint8Array) =>
    new DerivedTensor(dtype, shape, compute);
  return [
    {
      name: `${path}.g_idx`,
      tensor: new MemoryTensor('int32', [columns], new Uint8Array(groupIndex.buffer)),
    },
    { name: `${path}.qweight`, tensor: lazy('int32', words.weights, () => encodeWeights(facts, inputOrder)) },
    {
      name: `${path}.qzeros`,
      tensor: lazy('int32', words.zeros, () => encodeZeroPoints(zeroPointsOf(tensor), { rows, groups, bits }, format)),
    },
    {
      name: `${path}.scales`,
      tensor: storedAs(
        `${path}.scales`,
        new DerivedTensor('float32', [groups, rows], () => {
          const scales = transposeF32(facts.scales, rows, groups);
          return new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength);
        }),
        scaleType,
      ),
    },
  ];
};

/** `quantization_config` and quantize_config.json. */
const describe = ({ packed, plainLinear }: SplitWeights, format: GptqFormat): JsonObject => {
  const { usual, others } = schemesOf(packed);
  const isHead = (path: string): boolean => path.endsWith('lm_head');
  const dynamic = [
    ...plainLinear.filter((path) => !isHead(path)).map((path) => [`-:${plainPattern(path)}`, {}] as const),
    ...others.map(
      ({ path, scheme }) =>
        [
          `+:${plainPattern(path)}`,
          { bits: scheme.bits, group_size: scheme.groupSize, sym: scheme.symmetric },
        ] as const,
    ),
  ];
  return {
    quant_method: 'gptq',
    checkpoint_format: format,
    format,
    bits: usual.bits,
    group_size: usual.groupSize,
    sym: usual.symmetric,
    desc_act: packed.some(({ inputOrder }) => inputOrder !== undefined),
    lm_head: packed.some(({ path }) => isHead(path)),
    pack_dtype: 'int32',
    ...(dynamic.length > 0 ? { dynamic: Object.fromEntries(dynamic) } : {}),
    meta: { quantizer: ['modelpress'] },
  };
};

/** A GPTQ checkpoint folder: integers as they are, nothing is quantized anew. */
export const gptqFormat: FormatCard<z.output<typeof options>> = {
  name: 'gptq',
  summary: 'GPTQ checkpoint folder for vLLM, transformers and GPTQModel: packed linear layers of 2, 3, 4 or 8 bits',
  options,
  layout: undefined,
  foresee: foreseeSplit('GPTQ', gptqObstacle),
  async write(model, directory, chosen, context) {
    const split = splitWeights(model, 'GPTQ', gptqObstacle);
    const dtype = storageTypeOf(chosen.dtype, model);
    const scaleType = dtype === 'bfloat16' ? 'bfloat16' : 'float16';
    const zeroPoints = split.packed.flatMap(({ tensor }) => tensor.facts.zeroPoints ?? []);
    const usual = zeroPoints.length > 0 ? 'gptq_v2' : 'gptq';
    const format = chosen.checkpoint_format === 'auto' ? usual : chosen.checkpoint_format;
    if (format === 'gptq' && zeroPoints.some((zeros) => zeros.includes(0)))
      throw new CompressError({
        code: 'unsupported',
        message: 'a zero point is 0, which the first GPTQ format cannot hold: it stores them less one',
        where: { file: model.origin },
        hint: 'Write checkpoint_format: gptq_v2, or quantize with sym: true.',
      });
    const tensors = [
      ...split.plain.map(({ name, tensor }) => ({ name, tensor: storedAs(name, tensor, dtype) })),
      ...split.packed.flatMap((module) => moduleTensors(module, format, scaleType)),
    ];
    const description = describe(split, format);
    const config = { ...withStorageType(model.config ?? {}, dtype), quantization_config: description };
    const json = { 'quantize_config.json': description };
    const files = await writeCheckpoint(directory, { config, json, tensors }, context);
    const rounded = scaleFinding(split.packed, scaleType);
    return {
      files,
      entry: weightsName,
      weights: packedFacts(split, 'GPTQ'),
      findings: [...split.findings, ...(rounded ? [rounded] : [])],
    };
  },
};
