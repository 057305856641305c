import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { encodePackedZeroPoints } from '../../../../src/artifact/formats/compressed-tensors/codec.ts';
import { encodeWeights, encodeZeroPoints } from '../../../../src/artifact/formats/gptq/codec.ts';
import { openCheckpoint } from '../../../../src/artifact/formats/huggingface/open.ts';
import { storedToWords } from '../../../../src/artifact/formats/packed-words.ts';
import { groupIndexOf } from '../../../../src/artifact/formats/quantized/input-order.ts';
import { openQuantized } from '../../../../src/artifact/formats/quantized/open.ts';
import { writeSafetensors } from '../../../../src/artifact/formats/safetensors/write.ts';
import type { DataType } from '../../../../src/ir/data-type.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { readFloats } from '../../../../src/ir/read.ts';
import { MemoryTensor, type Tensor } from '../../../../src/ir/tensor.ts';

interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: string;
}

interface Golden {
  readonly config: Record<string, unknown>;
  readonly tensors: Record<string, Stored>;
  readonly weight: Stored;
}

const reference = resolve(import.meta.dirname, '../../../../fixtures/reference/quantized.json');
const cases = JSON.parse(readFileSync(reference, 'utf8')) as Golden[];

const folder = mkdtempSync(join(tmpdir(), 'modelpress-golden-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dataTypes: Readonly<Record<string, DataType>> = { float8_e4m3fn: 'float8e4m3fn' };

const tensorOf = ({ dtype, shape, data }: Stored): MemoryTensor =>
  new MemoryTensor(dataTypes[dtype] ?? (dtype as DataType), shape, new Uint8Array(Buffer.from(data, 'base64')));

const describeCase = ({ config }: Golden): string =>
  JSON.stringify(config)
    .replaceAll(/"|\{|\}|quant_method:/g, '')
    .slice(0, 110);

/** The one weight of a checkpoint with nothing but this layer. */
const openGolden = async (golden: Golden): Promise<Tensor> => {
  const tensors = Object.entries(golden.tensors).map(([name, stored]) => ({
    name: `layer.${name}`,
    tensor: tensorOf(stored),
  }));
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ quantization_config: golden.config }));
  const { config, tensors: source } = openCheckpoint(folder);
  const opened = openQuantized(folder, config, source);
  expect(opened.names).toEqual(['layer.weight']);
  return opened.get('layer.weight');
};

describe('quantized linear layers that other tools packed', () => {
  test.each(cases.map((golden, index) => [index, describeCase(golden), golden] as const))(
    '%i. %s',
    async (_index, _name, golden) => {
      const weight = await openGolden(golden);
      expect(weight.shape).toEqual(golden.weight.shape);
      expect(weight instanceof PackedTensor).toBe(golden.config.format !== 'float-quantized');
      const got = weight instanceof PackedTensor ? weight.matrix() : readFloats(weight);
      const wanted = readFloats(tensorOf(golden.weight));
      expect(Math.max(...wanted.map((value, at) => Math.abs(value - got[at]!)))).toBeLessThan(1e-6);
    },
  );

  const integers = cases.filter(({ config }) =>
    ['gptq', 'pack-quantized'].includes(String(config.format ?? config.quant_method)),
  );

  test.each(integers.map((golden, index) => [index, describeCase(golden), golden] as const))(
    '%i. are packed by us into the same bytes: %s',
    async (_index, _name, golden) => {
      const opened = await openGolden(golden);
      if (!(opened instanceof PackedTensor)) throw new Error('the weight is not packed');
      const { facts, groups } = opened;
      const { rows, columns, bits, groupSize, inputOrder } = facts;
      const zeroPoints = facts.zeroPoints ?? new Uint8Array(rows * groups).fill(2 ** (bits - 1));
      const size = { rows, groups, bits };
      const made: Record<string, Uint8Array> =
        golden.config.quant_method === 'gptq'
          ? {
              qweight: encodeWeights(facts, inputOrder),
              qzeros: encodeZeroPoints(zeroPoints, size, golden.config.checkpoint_format as 'gptq'),
              g_idx: new Uint8Array(groupIndexOf(columns, groupSize, inputOrder).buffer),
            }
          : {
              weight_packed: storedToWords(facts.codes, facts),
              ...(facts.zeroPoints ? { weight_zero_point: encodePackedZeroPoints(zeroPoints, size) } : {}),
            };
      for (const [name, bytes] of Object.entries(made))
        expect(Buffer.from(bytes).toString('base64'), name).toBe(golden.tensors[name]!.data);
    },
  );
});
