import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'fflate';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { Dataset, NumericArray } from '../../../src/calibration/dataset.ts';
import {
  plainPreprocessing,
  preprocess,
  readPreprocessorConfig,
} from '../../../src/calibration/samples/preprocessing.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { contextWith, temporaryFolder } from './context.ts';

const red = { width: 2, height: 1, channels: 3, pixels: Uint8Array.of(255, 0, 0, 0, 0, 255) } as const;

/** A picture whose pixel at (row, column) is [row, column, 7], kept without loss. */
const writeGradient = async (file: string, height: number, width: number): Promise<void> => {
  const pixels = Buffer.alloc(height * width * 3);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) pixels.set([row, column, 7], 3 * (row * width + column));
  await sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(file);
};

const arraysOf = async (dataset: Dataset): Promise<{ array: NumericArray; label: number | undefined }[]> => {
  const found = [];
  for (let index = 0; index < dataset.length; index++) {
    const sample = await dataset.sample(index);
    if (sample.kind === 'arrays') found.push({ array: sample.arrays.get('')!, label: sample.label });
  }
  return found;
};

describe('preprocessing', () => {
  test('scales, subtracts the mean and divides by the deviation, channel by channel', () => {
    const array = preprocess(red, { ...plainPreprocessing, scale: 1 / 255, mean: [0.5, 0.25, 0], std: [0.5, 1, 2] });
    expect(array).toEqual({
      dtype: 'float32',
      shape: [1, 3, 1, 2],
      data: Float32Array.of(1, -1, -0.25, -0.25, 0, 0.5),
    });
  });

  test('orders channels and axes as told', () => {
    expect([...preprocess(red, { ...plainPreprocessing, channels: 'bgr' }).data]).toEqual([0, 255, 0, 0, 255, 0]);
    const last = preprocess(red, { ...plainPreprocessing, layout: 'nhwc' });
    expect(last).toMatchObject({ shape: [1, 1, 2, 3], data: Float32Array.of(255, 0, 0, 0, 0, 255) });
    expect([...preprocess(red, { ...plainPreprocessing, channels: 'gray' }).data]).toEqual([76, 29]);
  });

  test('refuses means that do not belong to the channels', () => {
    expect(() => preprocess(red, { ...plainPreprocessing, mean: [1, 2] })).toThrow(/2 numbers for 3 channels/);
  });

  test('is read from preprocessor_config.json', async () => {
    const folder = temporaryFolder();
    const write = (config: object): string => {
      const file = join(folder, 'preprocessor_config.json');
      writeFileSync(file, JSON.stringify(config));
      return file;
    };
    const vit = {
      do_resize: true,
      size: { height: 30, width: 32 },
      do_normalize: true,
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
      resample: 2,
    };
    expect(await readPreprocessorConfig(write(vit))).toMatchObject({
      resize: [30, 32],
      crop: undefined,
      interpolation: 'linear',
      scale: 1 / 255,
      mean: [0.5, 0.5, 0.5],
    });
    const resnet = {
      size: { shortest_edge: 256 },
      do_center_crop: true,
      crop_size: 224,
      resample: 3,
      do_rescale: false,
      do_normalize: false,
    };
    expect(await readPreprocessorConfig(write(resnet))).toMatchObject({
      resize: 256,
      crop: [224, 224],
      interpolation: 'cubic',
      scale: 1,
      mean: [0],
      std: [1],
    });
    await expect(readPreprocessorConfig(write({ size: 'large' }))).rejects.toMatchObject({ code: 'malformed' });
  });
});

describe('folders of pictures', () => {
  test('are read in order, resized by the shorter side and cropped in the middle', async () => {
    const folder = temporaryFolder();
    await writeGradient(join(folder, 'b.png'), 8, 12);
    await writeGradient(join(folder, 'a.png'), 6, 6);
    const spec = { images: folder, preprocessing: { crop: [2, 4] } };
    const [first, second] = await arraysOf(await openDataset(spec, contextWith()));
    expect([...first!.array.data.subarray(0, 8)]).toEqual([2, 2, 2, 2, 3, 3, 3, 3]);
    expect([...second!.array.data.subarray(8, 16)]).toEqual([4, 5, 6, 7, 4, 5, 6, 7]);
    const resized = await arraysOf(await openDataset({ images: folder, preprocessing: { resize: 4 } }, contextWith()));
    expect(resized.map(({ array }) => array.shape)).toEqual([
      [1, 3, 4, 4],
      [1, 3, 4, 6],
    ]);
  });

  test('take labels from a CSV file, from names or from folders', async () => {
    const folder = temporaryFolder();
    for (const name of ['cat', 'dog']) mkdirSync(join(folder, name));
    await writeGradient(join(folder, 'cat', '4_x.png'), 2, 2);
    await writeGradient(join(folder, 'dog', '9_y.png'), 2, 2);
    writeFileSync(join(folder, 'labels.csv'), 'wnid,label,file\nn01,3,"dog/9_y.png"\nn02,5,cat/4_x.png\n');
    const labels = async (value: string): Promise<unknown[]> =>
      (
        await arraysOf(await openDataset({ images: folder, labels: value }, contextWith({ baseDirectory: folder })))
      ).map(({ label }) => label);
    expect(await labels('labels.csv')).toEqual([3, 5]);
    expect(await labels('names')).toEqual([4, 9]);
    expect(await labels('folders')).toEqual([0, 1]);
  });

  test('with fewer pictures than asked for, a broken label or a broken picture are refused by name', async () => {
    const folder = temporaryFolder();
    await expect(openDataset({ images: folder }, contextWith())).rejects.toMatchObject({
      code: 'data',
      where: { file: folder },
    });
    writeFileSync(join(folder, 'broken.jpg'), 'no picture');
    writeFileSync(join(folder, 'labels.csv'), 'file,label\nbroken.jpg,seven\n');
    await expect(
      openDataset({ images: folder, labels: join(folder, 'labels.csv') }, contextWith()),
    ).rejects.toMatchObject({
      code: 'malformed',
      where: { file: join(folder, 'labels.csv'), line: 2 },
    });
    const dataset = await openDataset({ images: folder }, contextWith());
    await expect(dataset.sample(0)).rejects.toMatchObject({
      code: 'data',
      where: { file: join(folder, 'broken.jpg') },
    });
    await expect(openDataset({ images: folder, samples: 2 }, contextWith())).rejects.toThrow(/only 1/);
  });

  test('are the same data wherever they lie, and other data when a byte or the seed of the shuffle changes', async () => {
    const make = async (pixels: number): Promise<string> => {
      const folder = temporaryFolder();
      for (let index = 0; index < 4; index++) await writeGradient(join(folder, `${index}.png`), 2, pixels + index);
      return folder;
    };
    const fingerprint = async (folder: string, seed = 7): Promise<string> =>
      (await openDataset({ images: folder, shuffle: true, samples: 2 }, contextWith({ seed }))).fingerprint;
    const [one, same, other] = [await make(2), await make(2), await make(3)];
    expect(await fingerprint(one!)).toBe(await fingerprint(same!));
    expect(await fingerprint(one!)).not.toBe(await fingerprint(other!));
    expect(await fingerprint(one!)).not.toBe(await fingerprint(one!, 8));
  });

  test('shuffled by one seed, the samples taken and those skipped are complementary', async () => {
    const folder = temporaryFolder();
    for (let index = 0; index < 5; index++) await writeGradient(join(folder, `${index}.png`), 1, index + 1);
    const widths = async (selection: object): Promise<unknown[]> =>
      (await arraysOf(await openDataset({ images: folder, shuffle: true, ...selection }, contextWith()))).map(
        ({ array }) => array.shape[3],
      );
    const all = [...(await widths({ samples: 2 })), ...(await widths({ skip: 2 }))];
    expect(all.toSorted()).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('records', () => {
  test('of CIFAR-10 are planar pictures behind a label', async () => {
    const folder = temporaryFolder();
    const record = new Uint8Array(3073).fill(1, 1, 1025).fill(2, 1025, 2049).fill(3, 2049);
    record[0] = 6;
    writeFileSync(join(folder, 'data.bin'), record);
    const spec = { records: join(folder, 'data.bin'), format: 'cifar10', preprocessing: { channels: 'bgr' } };
    const [item] = await arraysOf(await openDataset(spec, contextWith()));
    expect(item?.label).toBe(6);
    expect([item?.array.data[0], item?.array.data[1024], item?.array.data[3071]]).toEqual([3, 2, 1]);
    writeFileSync(join(folder, 'data.bin'), record.subarray(1));
    await expect(openDataset(spec, contextWith())).rejects.toMatchObject({ code: 'malformed' });
  });

  test('of IDX files are read packed or plain, with their labels', async () => {
    const folder = temporaryFolder();
    const pictures = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40);
    writeFileSync(join(folder, 'images.gz'), gzipSync(pictures));
    writeFileSync(join(folder, 'labels'), Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 5, 6));
    const spec = { records: 'images.gz', labels: 'labels', format: 'idx' };
    const found = await arraysOf(await openDataset(spec, contextWith({ baseDirectory: folder })));
    expect(found).toEqual([
      { array: { dtype: 'float32', shape: [1, 1, 1, 2], data: Float32Array.of(10, 20) }, label: 5 },
      { array: { dtype: 'float32', shape: [1, 1, 1, 2], data: Float32Array.of(30, 40) }, label: 6 },
    ]);
    writeFileSync(join(folder, 'images.gz'), gzipSync(pictures.subarray(0, 19)));
    await expect(openDataset(spec, contextWith({ baseDirectory: folder }))).rejects.toMatchObject({
      code: 'malformed',
    });
  });
});
