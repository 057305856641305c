import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSafetensors } from '../../../../src/artifact/formats/safetensors/open.ts';
import { type NamedTensor, writeSafetensors } from '../../../../src/artifact/formats/safetensors/write.ts';
import { openModel } from '../../../../src/artifact/open.ts';
import { CompressError, CompressErrors, formatError } from '../../../../src/errors.ts';
import { MemoryTensor } from '../../../../src/ir/tensor.ts';
import { packBlocks, writeCheckpointFolder, writeFormat } from './folders.ts';

const root = mkdtempSync(join(tmpdir(), 'modelpress-hostile-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (...names: string[]): string => join(root, ...names);

const site = 'model.layers.0.self_attn.q_proj';

beforeAll(async () => {
  await writeCheckpointFolder(at('plain'));
  const scheme = { bits: 4, groupSize: 32, symmetric: false } as const;
  const model = packBlocks(await openModel(at('plain')), () => scheme);
  for (const format of ['gptq', 'compressed-tensors']) await writeFormat(model, at(format), format);
});

type Tensors = Map<string, MemoryTensor>;
type Config = { quantization_config: Record<string, unknown> };

/** A folder that differs from a good one. */
const broken = async (from: string, change: (tensors: Tensors, config: Config) => void): Promise<string> => {
  const source = openSafetensors(at(from, 'model.safetensors'));
  const tensors: Tensors = new Map(
    source.names.map((name) => {
      const { dtype, shape } = source.get(name);
      return [name, new MemoryTensor(dtype, shape, source.get(name).bytes())];
    }),
  );
  const config = JSON.parse(readFileSync(at(from, 'config.json'), 'utf8')) as Config;
  change(tensors, config);
  const folder = mkdtempSync(at('broken-'));
  const named = [...tensors].map(([name, tensor]): NamedTensor => ({ name, tensor }));
  await writeSafetensors(join(folder, 'model.safetensors'), named, { format: 'pt' });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
};

const open = async (folder: string): Promise<{ codes: string[]; text: string }> => {
  try {
    await openModel(folder);
  } catch (error) {
    const all = error instanceof CompressErrors ? error.errors : [error];
    return { codes: all.map((one) => (one instanceof CompressError ? one.code : 'bug')), text: formatError(error) };
  }
  return { codes: [], text: '' };
};

const zeros = (dtype: 'int32' | 'float16' | 'int64' | 'float32', ...shape: number[]): MemoryTensor => {
  const widths = { int32: 4, float16: 2, int64: 8, float32: 4 };
  return new MemoryTensor(dtype, shape, new Uint8Array(shape.reduce((a, b) => a * b, widths[dtype])));
};

type Case = readonly [what: string, from: string, (tensors: Tensors, config: Config) => void, code: string, RegExp];

const cases: readonly Case[] = [
  ['GPTQ without zero points', 'gptq', (t) => t.delete(`${site}.qzeros`), 'not-found', /q_proj\.qzeros/],
  ['GPTQ without scales', 'gptq', (t) => t.delete(`${site}.scales`), 'not-found', /q_proj\.scales/],
  [
    'GPTQ with scales of another group size',
    'gptq',
    (t) => t.set(`${site}.scales`, zeros('float16', 4, 64)),
    'mismatch',
    /\[4, 64\] where \[2, 64\]/,
  ],
  [
    'GPTQ with zero points of another shape',
    'gptq',
    (t) => t.set(`${site}.qzeros`, zeros('int32', 2, 64)),
    'mismatch',
    /\[2, 64\] where \[2, 8\]/,
  ],
  [
    'GPTQ with integers of another type',
    'gptq',
    (t) => t.set(`${site}.qweight`, zeros('float32', 8, 64)),
    'unsupported',
    /float32 where int32/,
  ],
  [
    'GPTQ with integers of another rank',
    'gptq',
    (t) => t.set(`${site}.qweight`, zeros('int32', 512)),
    'malformed',
    /2 dimensions/,
  ],
  [
    'GPTQ with a group index out of range',
    'gptq',
    (t) => t.set(`${site}.g_idx`, new MemoryTensor('int32', [64], new Uint8Array(256).fill(9))),
    'malformed',
    /given to group/,
  ],
  [
    'GPTQ with all inputs in one group',
    'gptq',
    (t) => t.set(`${site}.g_idx`, zeros('int32', 64)),
    'malformed',
    /group 0 has 64 inputs where 32/,
  ],
  [
    'GPTQ with a group index of another length',
    'gptq',
    (t) => t.set(`${site}.g_idx`, zeros('int32', 63)),
    'mismatch',
    /\[63\] where \[64\]/,
  ],
  [
    'GPTQ with other bits than said',
    'gptq',
    (_, c) => {
      c.quantization_config.bits = 8;
    },
    'mismatch',
    /where \[1, 64\]/,
  ],
  [
    'GPTQ with bits that nothing has',
    'gptq',
    (_, c) => {
      c.quantization_config.bits = 7;
    },
    'unsupported',
    /quantization_config\.bits/,
  ],
  [
    'GPTQ in a format that is not known',
    'gptq',
    (_, c) => {
      c.quantization_config.checkpoint_format = 'marlin';
    },
    'unsupported',
    /checkpoint_format/,
  ],
  [
    'another method',
    'gptq',
    (_, c) => {
      c.quantization_config.quant_method = 'aqlm';
    },
    'unsupported',
    /aqlm.*known are gptq/,
  ],
  [
    'no method',
    'gptq',
    (_, c) => {
      delete c.quantization_config.quant_method;
    },
    'unsupported',
    /without a name/,
  ],
  [
    'compressed-tensors without its shape',
    'compressed-tensors',
    (t) => t.delete(`${site}.weight_shape`),
    'not-found',
    /weight_shape/,
  ],
  [
    'compressed-tensors with a shape of nothing',
    'compressed-tensors',
    (t) => t.set(`${site}.weight_shape`, zeros('int64', 2)),
    'malformed',
    /no shape of a matrix/,
  ],
  [
    'compressed-tensors without scales',
    'compressed-tensors',
    (t) => t.delete(`${site}.weight_scale`),
    'not-found',
    /weight_scale/,
  ],
  [
    'compressed-tensors without zero points',
    'compressed-tensors',
    (t) => t.delete(`${site}.weight_zero_point`),
    'not-found',
    /weight_zero_point/,
  ],
  [
    'compressed-tensors with words cut short',
    'compressed-tensors',
    (t) => t.set(`${site}.weight_packed`, zeros('int32', 64, 7)),
    'mismatch',
    /\[64, 7\]/,
  ],
  [
    'compressed-tensors that nothing describes',
    'compressed-tensors',
    (_, c) => {
      c.quantization_config.config_groups = {};
    },
    'malformed',
    /names no quantized weights/,
  ],
  [
    'compressed-tensors in a form that is not known',
    'compressed-tensors',
    (_, c) => {
      c.quantization_config.format = 'nvfp4-pack-quantized';
    },
    'unsupported',
    /quantization_config\.format/,
  ],
];

describe('quantized folders that are not what they say', () => {
  test.each(cases)('%s', async (_what, from, change, code, text) => {
    const told = await open(await broken(from, change));
    expect(told.codes).toContain(code);
    expect(told.codes).not.toContain('bug');
    expect(told.text).toMatch(text);
  });

  test('all problems are told together', async () => {
    const folder = await broken('gptq', (tensors) => {
      tensors.delete(`${site}.qzeros`);
      tensors.delete('model.layers.0.mlp.up_proj.scales');
    });
    expect((await open(folder)).codes).toEqual(['not-found', 'not-found']);
  });

  test('tensors that overlap in the file are refused before anything is read', async () => {
    const folder = await broken('gptq', () => {});
    const path = join(folder, 'model.safetensors');
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, { data_offsets?: number[] }>;
    const [first, second] = Object.keys(header).filter((name) => name !== '__metadata__');
    const size = header[second!]!.data_offsets![1]! - header[second!]!.data_offsets![0]!;
    header[second!]!.data_offsets = [header[first!]!.data_offsets![0]!, header[first!]!.data_offsets![0]! + size];
    const text = JSON.stringify(header).padEnd(length);
    writeFileSync(path, Buffer.concat([bytes.subarray(0, 8), Buffer.from(text), bytes.subarray(8 + length)]));
    expect((await open(folder)).codes).toEqual(['malformed']);
  });

  test('a model without packed weights is no GPTQ checkpoint', async () => {
    const model = await openModel(at('plain'));
    await expect(writeFormat(model, at('never'), 'gptq')).rejects.toThrow(/nothing in this model can be stored/);
  });

  test('modules with schemes of their own are described one by one, and survive the other checkpoint form', async () => {
    await writeCheckpointFolder(at('odd'));
    const model = packBlocks(await openModel(at('odd')), (name) => ({
      bits: name.endsWith('o_proj') ? 2 : 4,
      groupSize: name.endsWith('down_proj') ? 'row' : 32,
      symmetric: true,
    }));
    const written = await writeFormat(model, at('mixed'), 'gptq');
    expect(written.findings).toEqual([]);
    const { quantization_config: config } = JSON.parse(readFileSync(at('mixed', 'config.json'), 'utf8'));
    expect(config.dynamic).toEqual({
      '+:^model\\.layers\\.0\\.self_attn\\.o_proj$': { bits: 2, group_size: 32, sym: true },
      '+:^model\\.layers\\.0\\.mlp\\.down_proj$': { bits: 4, group_size: -1, sym: true },
    });
    const compressed = await writeFormat(await openModel(at('mixed')), at('mixed-ct'), 'compressed-tensors');
    expect(compressed.findings).toEqual([]);
    const again = await writeFormat(await openModel(at('mixed-ct')), at('mixed-again'), 'gptq');
    expect(again.byteLength).toBe(written.byteLength);
    expect(readFileSync(at('mixed-again/model.safetensors')).equals(readFileSync(at('mixed/model.safetensors')))).toBe(
      true,
    );
  });
});
