import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import type { Sample } from '../../../src/calibration/dataset.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { arrayOfNumbers } from '../../../src/execution/arrays.ts';
import { contextWith, temporaryFolder } from './context.ts';

/** The smallest .npy header that readers accept. */
const npyOf = (dtype: string, shape: readonly number[], data: Uint8Array): Uint8Array => {
  const header = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }\n`;
  const head = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0);
  return Uint8Array.from([...head, ...new TextEncoder().encode(header), ...data]);
};

const floats = (...numbers: number[]): Uint8Array => new Uint8Array(Float32Array.from(numbers).buffer);

describe('token files', () => {
  test('of 16 and 32 bits and .npy arrays give the same windows', async () => {
    const folder = temporaryFolder();
    const ids = [1, 5, 6, 7, 1, 8, 9];
    writeFileSync(join(folder, 'a.u16'), new Uint8Array(Uint16Array.from(ids).buffer));
    writeFileSync(join(folder, 'a.u32'), new Uint8Array(Uint32Array.from(ids).buffer));
    writeFileSync(join(folder, 'a.npy'), npyOf('<i4', [7], new Uint8Array(Int32Array.from(ids).buffer)));
    const samples: Sample[][] = [];
    for (const ending of ['u16', 'u32', 'npy']) {
      const dataset = await openDataset(
        { tokens: join(folder, `a.${ending}`), bos: 1, split: 1, window: 3 },
        contextWith(),
      );
      samples.push(await Promise.all(Array.from({ length: dataset.length }, (_, index) => dataset.sample(index))));
    }
    expect(samples[0]?.map((sample) => sample.kind === 'tokens' && [...sample.ids])).toEqual([
      [1, 5, 6],
      [1, 7],
      [1, 8, 9],
    ]);
    expect(samples[1]).toEqual(samples[0]);
    expect(samples[2]).toEqual(samples[0]);
  });

  test('of unknown type, odd length or floating-point numbers are refused', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a.bin'), Uint8Array.of(1, 2, 3));
    writeFileSync(join(folder, 'a.npy'), npyOf('<f4', [1], floats(1)));
    await expect(openDataset({ tokens: join(folder, 'a.bin') }, contextWith())).rejects.toThrow(/does not tell/);
    await expect(openDataset({ tokens: join(folder, 'a.bin'), type: 'u16' }, contextWith())).rejects.toMatchObject({
      code: 'malformed',
    });
    await expect(openDataset({ tokens: join(folder, 'a.npy') }, contextWith())).rejects.toThrow(/must be integers/);
  });
});

describe('arrays', () => {
  const inputs = [
    { name: 'x', dtype: 'float32', shape: ['batch', 2] },
    { name: 'y', dtype: 'float32', shape: ['batch'] },
  ] as const;
  const archive = (): string => {
    const file = join(temporaryFolder(), 'data.npz');
    const x = npyOf('<f4', [3, 2], floats(1, 2, 3, 4, 5, 6));
    const y = npyOf('<f4', [3], floats(7, 8, 9));
    writeFileSync(file, zipSync({ 'x.npy': x, 'why.npy': y, 'labels.npy': npyOf('|u1', [3], Uint8Array.of(0, 1, 2)) }));
    return file;
  };

  test('go to the inputs of their names, or to those named for them, with their labels', async () => {
    const spec = { arrays: archive(), inputs: { why: 'y' } };
    const dataset = await openDataset(spec, contextWith({ modelInputs: inputs }));
    expect(dataset.length).toBe(3);
    expect(await dataset.sample(1)).toEqual({
      kind: 'arrays',
      label: 1,
      arrays: new Map([
        ['x', arrayOfNumbers('float32', [1, 2], [3, 4])],
        ['y', arrayOfNumbers('float32', [1], [8])],
      ]),
    });
  });

  test('a lone array goes to the only input', async () => {
    const file = join(temporaryFolder(), 'images.npy');
    writeFileSync(file, npyOf('<f4', [2, 2], floats(1, 2, 3, 4)));
    const dataset = await openDataset({ arrays: file }, contextWith({ modelInputs: [inputs[0]] }));
    expect(await dataset.sample(0)).toEqual({
      kind: 'arrays',
      arrays: new Map([['x', arrayOfNumbers('float32', [1, 2], [1, 2])]]),
    });
  });

  test('that are missing, of different lengths or without the labels named are refused', async () => {
    const file = archive();
    const context = contextWith({ modelInputs: inputs });
    await expect(openDataset({ arrays: file }, context)).rejects.toThrow(/no array for the model inputs y/);
    await expect(openDataset({ arrays: file, inputs: { why: 'y' }, labels: 'classes' }, context)).rejects.toThrow(
      /no array classes/,
    );
    const uneven = join(temporaryFolder(), 'data.npz');
    writeFileSync(
      uneven,
      zipSync({ 'x.npy': npyOf('<f4', [1, 2], floats(1, 2)), 'y.npy': npyOf('<f4', [2], floats(1, 2)) }),
    );
    await expect(openDataset({ arrays: uneven }, context)).rejects.toThrow(/x 1, y 2/);
  });
});

describe('random data', () => {
  const images = { name: 'images', dtype: 'float32', shape: ['batch', 3, 'height', 4] } as const;

  test('has the shapes of the model, the same ones for the same seed', async () => {
    const open = (seed: number) =>
      openDataset(
        { random: 'uniform', samples: 2, dimensions: { height: 5 } },
        contextWith({ modelInputs: [images], seed }),
      );
    const [one, same, other] = [await open(1), await open(1), await open(2)];
    const sample = await one!.sample(0);
    expect(sample.kind === 'arrays' && sample.arrays.get('images')).toMatchObject({
      dtype: 'float32',
      shape: [1, 3, 5, 4],
    });
    expect(await same!.sample(0)).toEqual(sample);
    expect(await one!.sample(1)).not.toEqual(sample);
    expect(await other!.sample(0)).not.toEqual(sample);
  });

  test('is windows of known token ids for models that read them', async () => {
    const ids = { name: 'input_ids', dtype: 'int64', shape: ['batch', 'sequence'] } as const;
    const dataset = await openDataset(
      { random: null, window: 200 },
      contextWith({ modelInputs: [ids], vocabulary: 10 }),
    );
    const sample = await dataset.sample(3);
    expect(sample.kind === 'tokens' && new Set(sample.ids)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
  });

  test('needs a model that states its shapes', async () => {
    const unknown = { name: 'x', dtype: 'float32', shape: undefined } as const;
    await expect(openDataset({ random: null }, contextWith({ modelInputs: [unknown] }))).rejects.toMatchObject({
      code: 'data',
    });
  });
});

describe('sound', () => {
  const wav = (samples: readonly number[], rate = 8000): string => {
    const file = join(temporaryFolder(), 'sound.wav');
    const data = Int16Array.from(samples);
    const head = Buffer.alloc(44);
    head.write('RIFF', 0);
    head.writeUInt32LE(36 + data.byteLength, 4);
    head.write('WAVEfmt ', 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt16LE(1, 20);
    head.writeUInt16LE(1, 22);
    head.writeUInt32LE(rate, 24);
    head.writeUInt32LE(2 * rate, 28);
    head.writeUInt16LE(2, 32);
    head.writeUInt16LE(16, 34);
    head.write('data', 36);
    head.writeUInt32LE(data.byteLength, 40);
    writeFileSync(file, Buffer.concat([head, Buffer.from(data.buffer)]));
    return file;
  };
  const inputs = [
    { name: 'input', dtype: 'float32', shape: [null, null] },
    { name: 'state', dtype: 'float32', shape: [2, null, 3] },
    { name: 'sr', dtype: 'int64', shape: [] },
  ] as const;

  test('is cut into steps with context in front, constants beside and state to carry', async () => {
    const spec = {
      audio: wav([16384, -16384, 0, 8192, 1]),
      window: 2,
      context: 1,
      constants: { sr: 8000 },
      carry: { stateN: 'state' },
    };
    const dataset = await openDataset(spec, contextWith({ modelInputs: inputs }));
    expect(dataset.length).toBe(1);
    const sample = await dataset.sample(0);
    if (sample.kind !== 'sequence') throw new Error('a sequence is expected');
    expect(sample.steps.map((step) => [...step.get('input')!.data])).toEqual([
      [0, 0.5, -0.5],
      [-0.5, 0, 0.25],
    ]);
    expect(sample.steps[0]?.get('sr')).toEqual({ dtype: 'int64', shape: [], data: BigInt64Array.of(8000n) });
    expect(sample.initial.get('state')).toMatchObject({ shape: [2, 1, 3], data: new Float32Array(6) });
    expect(sample.carry).toEqual(new Map([['stateN', 'state']]));
  });

  test('without state to carry gives a sample a window', async () => {
    const dataset = await openDataset(
      { audio: wav([1, 2, 3, 4, 5, 6]), window: 2 },
      contextWith({ modelInputs: [inputs[0]] }),
    );
    expect(dataset.length).toBe(3);
    expect(await dataset.sample(2)).toMatchObject({ kind: 'arrays' });
  });

  test('of another rate, too short or not a WAV file is refused', async () => {
    const context = contextWith({ modelInputs: [inputs[0]] });
    await expect(openDataset({ audio: wav([1, 2, 3]), window: 2, rate: 16000 }, context)).rejects.toThrow(
      /8000 samples a second/,
    );
    await expect(openDataset({ audio: wav([1, 2, 3]), window: 9 }, context)).rejects.toThrow(/do not fill a window/);
    const text = join(temporaryFolder(), 'sound.wav');
    writeFileSync(text, 'RIFF but nothing else');
    await expect(openDataset({ audio: text, window: 2 }, context)).rejects.toMatchObject({ code: 'malformed' });
  });

  test('names inputs that the model does not have', async () => {
    const spec = { audio: wav([1, 2]), window: 2, input: 'input', constants: { rate: 1 } };
    await expect(openDataset(spec, contextWith({ modelInputs: inputs }))).rejects.toThrow(/no input rate/);
    await expect(openDataset({ audio: wav([1, 2]), window: 2 }, contextWith({ modelInputs: inputs }))).rejects.toThrow(
      /cannot tell which input/,
    );
  });
});
