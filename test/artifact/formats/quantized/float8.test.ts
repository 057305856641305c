import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openSafetensors } from '../../../../src/artifact/formats/safetensors/open.ts';
import { type NamedTensor, writeSafetensors } from '../../../../src/artifact/formats/safetensors/write.ts';
import { openModel } from '../../../../src/artifact/open.ts';
import { floatTensor, readFloats, tensorOf } from '../../../../src/ir/read.ts';
import { writeCheckpointFolder } from './folders.ts';

const root = mkdtempSync(join(tmpdir(), 'modelpress-float8-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const site = 'model.layers.0.mlp.down_proj.weight';
const [rows, columns] = [64, 96] as const;

/** A checkpoint whose down projection is stored in 8-bit floats: the codes count up by eighths. */
const folderWith = async (more: readonly NamedTensor[], config: Record<string, unknown> = {}): Promise<string> => {
  const folder = mkdtempSync(join(root, 'case-'));
  await writeCheckpointFolder(folder, config);
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  writeFileSync(`${path}.plain`, bytes);
  const source = openSafetensors(`${path}.plain`);
  const eighths = Float32Array.from({ length: rows * columns }, (_, index) => (index % 9) / 8);
  const tensors = source.names.map((name) => ({
    name,
    tensor: name === site ? tensorOf('float8e4m3fn', [rows, columns], eighths) : source.get(name),
  }));
  await writeSafetensors(path, [...tensors, ...more], { format: 'pt' });
  return folder;
};

/** The down projection as the graph has it, (inputs, outputs). */
const weightOf = async (folder: string): Promise<Float32Array> => {
  const { program } = await openModel(folder);
  return readFloats([...program.graph.initializers].find(({ name }) => name === site)!.tensor!);
};

const at = (weight: Float32Array, row: number, column: number): number => weight[column * rows + row]!;
const eighth = (row: number, column: number): number => ((row * columns + column) % 9) / 8;

describe('checkpoints of 8-bit floats', () => {
  test('without scales they are numbers like others', async () => {
    const weight = await weightOf(await folderWith([]));
    expect(at(weight, 3, 5)).toBe(eighth(3, 5));
  });

  test('with a scale for each block, the last blocks cut', async () => {
    const scales = floatTensor([2, 3], Float32Array.of(1, 2, 4, 8, 16, 32));
    const folder = await folderWith([{ name: `${site}_scale_inv`, tensor: scales }], {
      quantization_config: { quant_method: 'fp8', weight_block_size: [40, 40] },
    });
    const weight = await weightOf(folder);
    expect(at(weight, 3, 5)).toBe(eighth(3, 5));
    expect(at(weight, 39, 40)).toBe(2 * eighth(39, 40));
    expect(at(weight, 63, 95)).toBe(32 * eighth(63, 95));
  });

  test('scales that do not cover the weight, and missing ones, are refused', async () => {
    const config = { quantization_config: { quant_method: 'fp8', weight_block_size: [32, 32] } };
    const few = await folderWith(
      [{ name: `${site}_scale_inv`, tensor: floatTensor([2, 2], new Float32Array(4)) }],
      config,
    );
    await expect(openModel(few)).rejects.toThrow(/scales \[2, 2\] do not cover the weight \[64, 96\]/);
    await expect(openModel(await folderWith([], config))).rejects.toThrow(/lacks this tensor/);
  });
});
