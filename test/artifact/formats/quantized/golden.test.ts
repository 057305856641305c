import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../../../src/artifact/formats/huggingface/open.ts';
import { openQuantized } from '../../../../src/artifact/formats/quantized/open.ts';
import { writeSafetensors } from '../../../../src/artifact/formats/safetensors/write.ts';
import type { DataType } from '../../../../src/ir/data-type.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { readFloats } from '../../../../src/ir/read.ts';
import { MemoryTensor } from '../../../../src/ir/tensor.ts';

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

describe('quantized linear layers that other tools packed', () => {
  test.each(cases.map((golden, index) => [index, describeCase(golden), golden] as const))(
    '%i. %s',
    async (_index, _name, golden) => {
      const tensors = Object.entries(golden.tensors).map(([name, stored]) => ({
        name: `layer.${name}`,
        tensor: tensorOf(stored),
      }));
      await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' });
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ quantization_config: golden.config }));
      const { config, tensors: source } = openCheckpoint(folder);
      const opened = openQuantized(folder, config, source);
      expect(opened.names).toEqual(['layer.weight']);
      const weight = opened.get('layer.weight');
      expect(weight.shape).toEqual(golden.weight.shape);
      expect(weight instanceof PackedTensor).toBe(golden.config.format !== 'float-quantized');
      const got = weight instanceof PackedTensor ? weight.matrix() : readFloats(weight);
      const wanted = readFloats(tensorOf(golden.weight));
      expect(Math.max(...wanted.map((value, at) => Math.abs(value - got[at]!)))).toBeLessThan(1e-6);
    },
  );
});
