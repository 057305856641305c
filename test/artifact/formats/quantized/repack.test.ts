import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModel } from '../../../../src/artifact/open.ts';
import type { Model } from '../../../../src/ir/model.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { packBlocks, repack, type Scheme, writeCheckpointFolder, writeFormat } from './folders.ts';

const root = mkdtempSync(join(tmpdir(), 'modelpress-repack-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const at = (...names: string[]): string => join(root, ...names);
let model: Model;
beforeAll(async () => {
  await writeCheckpointFolder(at('plain'));
  model = await openModel(at('plain'));
});

const bytesOf = (folder: string, name = 'model.safetensors'): Buffer => readFileSync(at(folder, name));
const configOf = (folder: string): Record<string, unknown> => JSON.parse(bytesOf(folder, 'config.json').toString());

const schemes: readonly Scheme[] = [
  { bits: 4, groupSize: 32, symmetric: true },
  { bits: 4, groupSize: 32, symmetric: false },
  { bits: 4, groupSize: 'row', symmetric: false },
  { bits: 8, groupSize: 32, symmetric: true },
  { bits: 8, groupSize: 16, symmetric: false },
  { bits: 2, groupSize: 32, symmetric: false },
];

const named = schemes.map((scheme) => [JSON.stringify(scheme).replaceAll(/["{}]/g, ''), scheme] as const);

const packedOf = ({ program }: Model): Map<string, PackedTensor> =>
  new Map(
    [...program.graph.initializers].flatMap(({ name, tensor }) =>
      tensor instanceof PackedTensor ? [[name, tensor] as const] : [],
    ),
  );

describe('integers go from form to form as they are', () => {
  test.each([...named, ['3 bits', { bits: 3, groupSize: 32, symmetric: false }] as const])(
    'a checkpoint opens as what was written: %s',
    async (name, scheme) => {
      const quantized = packBlocks(model, () => scheme);
      for (const format of ['gptq', 'compressed-tensors']) {
        const folder = `${format} ${name}`;
        expect((await writeFormat(quantized, at(folder), format)).findings).toEqual([]);
        const opened = packedOf(await openModel(at(folder)));
        const wanted = packedOf(quantized);
        expect([...opened.keys()].sort()).toEqual([...wanted.keys()].sort());
        expect(wanted.size).toBe(7);
        for (const [weight, tensor] of wanted) {
          const { method: _, codes, scales, zeroPoints, ...facts } = tensor.facts;
          const got = opened.get(weight)!.facts;
          expect(got).toMatchObject(facts);
          expect(got.codes).toEqual(codes);
          expect(got.scales).toEqual(scales);
          expect(got.zeroPoints).toEqual(zeroPoints);
        }
      }
    },
  );

  test.each(named)('GPTQ → compressed-tensors → MatMulNBits → QDQ → GPTQ, byte for byte: %s', async (name, scheme) => {
    const path = (step: string): string => `${step} there ${name}`;
    await writeFormat(
      packBlocks(model, () => scheme),
      at(path('a')),
      'gptq',
    );
    await repack(at(path('a')), at(path('b')), 'compressed-tensors');
    await repack(at(path('b')), at(path('c')), 'onnx-matmulnbits');
    await repack(at(path('c')), at(path('d')), 'onnx-qdq');
    await repack(at(path('d')), at(path('e')), 'gptq');
    expect(bytesOf(path('e')).equals(bytesOf(path('a')))).toBe(true);
    expect(configOf(path('e'))).toEqual(configOf(path('a')));
  });

  test.each(named)(
    'compressed-tensors → GPTQ → QDQ → MatMulNBits → compressed-tensors, byte for byte: %s',
    async (name, scheme) => {
      const path = (step: string): string => `${step} back ${name}`;
      await writeFormat(
        packBlocks(model, () => scheme),
        at(path('a')),
        'compressed-tensors',
      );
      await repack(at(path('a')), at(path('b')), 'gptq');
      await repack(at(path('b')), at(path('c')), 'onnx-qdq');
      await repack(at(path('c')), at(path('d')), 'onnx-matmulnbits');
      await repack(at(path('d')), at(path('e')), 'compressed-tensors');
      expect(bytesOf(path('e')).equals(bytesOf(path('a')))).toBe(true);
      expect(configOf(path('e'))).toEqual(configOf(path('a')));
    },
  );

  test('MatMulNBits → GPTQ → MatMulNBits gives the same file', async () => {
    await writeFormat(
      packBlocks(model, () => schemes[1]!),
      at('m1'),
      'onnx-matmulnbits',
    );
    await repack(at('m1'), at('m2'), 'gptq');
    await repack(at('m2'), at('m3'), 'onnx-matmulnbits');
    expect(bytesOf('m3', 'model.onnx').equals(bytesOf('m1', 'model.onnx'))).toBe(true);
  });
});
