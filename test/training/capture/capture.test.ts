import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Dataset } from '../../../src/calibration/dataset.ts';
import { Random } from '../../../src/random.ts';
import type { CapturePlan } from '../../../src/training/capture/format.ts';
import { greatestChances } from '../../../src/training/capture/greatest.ts';
import { CapturedTeacher, readCapture } from '../../../src/training/capture/read.ts';
import { capture } from '../../../src/training/capture/write.ts';
import type { Teacher } from '../../../src/training/teacher.ts';

const folders: string[] = [];
const freshFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'modelpress-capture-'));
  folders.push(folder);
  return folder;
};
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

const classes = 300;
const rowsOfSample = 5;
const scoresOf = (sample: number): Float32Array => new Random(sample, 'scores').normals(rowsOfSample * classes, 3);

const plan: CapturePlan = {
  format: 'modelpress-capture',
  version: 1,
  teacher: 'teacher',
  program: 'p',
  description: 'data',
  dataset: 'fingerprint',
  samples: 7,
  classes,
  kept: 20,
  temperature: 2,
  shard: 3,
};

const dataset: Dataset = {
  description: 'data',
  length: 7,
  fingerprint: 'fingerprint',
  sample: () => Promise.reject(new Error('not read')),
};

const teacherOf = (asked: number[] = [], failsAt = -1): Teacher => ({
  rowsOf: async (index) => {
    if (index === failsAt) throw new Error('power cut');
    asked.push(index);
    return [{ data: scoresOf(index), width: classes, shape: [1, rowsOfSample, classes] }];
  },
  rowsFor: () => Promise.reject(new Error('unused')),
  close: async () => {},
});

const capturing = (folder: string, teacher: Teacher, changes: Partial<CapturePlan> = {}) =>
  capture({
    folder,
    plan: { ...plan, ...changes },
    teacher,
    onProgress: () => {},
    signal: new AbortController().signal,
  });

describe('the greatest chances of a row', () => {
  it.each([1, 20, 299, 300])('with the rest sum to one, greatest first (%d kept)', (kept) => {
    const rows = greatestChances(scoresOf(0), classes, kept, 2);
    for (let row = 0; row < rowsOfSample; row++) {
      const own = rows.data.subarray(row * (kept + 1), (row + 1) * (kept + 1));
      expect(own.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 5);
      const scores = scoresOf(0).subarray(row * classes, (row + 1) * classes);
      const places = [...rows.classes!.subarray(row * kept, (row + 1) * kept)];
      const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
      expect(places).toEqual(order.slice(0, kept));
    }
  });

  it('of equal scores takes the lower class first', () => {
    const rows = greatestChances(new Float32Array(100).fill(1), 100, 3, 1);
    expect([...rows.classes!]).toEqual([0, 1, 2]);
  });
});

describe('captured scores', () => {
  it('come back as they were to half precision, in any order', async () => {
    const folder = freshFolder();
    await capturing(folder, teacherOf());
    const teacher = new CapturedTeacher(folder, readCapture(folder), dataset);
    for (const sample of [6, 0, 3, 0]) {
      const [rows] = await teacher.rowsOf(sample);
      const expected = greatestChances(scoresOf(sample), classes, 20, 2);
      expect([...rows!.classes!]).toEqual([...expected.classes!]);
      rows!.data.forEach((value, index) => {
        expect(Math.abs(value - expected.data[index]!)).toBeLessThanOrEqual(Math.abs(expected.data[index]!) * 2 ** -10);
      });
    }
  });

  it('are gone on with after a stop, with the same bytes', async () => {
    const [whole, stopped] = [freshFolder(), freshFolder()];
    await capturing(whole, teacherOf());
    await expect(capturing(stopped, teacherOf([], 5))).rejects.toThrow('power cut');
    expect(() => readCapture(stopped)).toThrow(/not finished/);
    const asked: number[] = [];
    await capturing(stopped, teacherOf(asked));
    expect(asked).toEqual([3, 4, 5, 6]);
    expect(readdirSync(stopped).sort()).toEqual(readdirSync(whole).sort());
    for (const name of readdirSync(whole))
      expect(readFileSync(join(stopped, name))).toEqual(readFileSync(join(whole, name)));
  });

  it('of something else are never written over', async () => {
    const folder = freshFolder();
    await capturing(folder, teacherOf());
    await expect(capturing(folder, teacherOf(), { kept: 10 })).rejects.toThrow(/another model, other data/);
    const other = freshFolder();
    writeFileSync(join(other, 'thesis.txt'), 'x');
    await expect(capturing(other, teacherOf())).rejects.toThrow(/thesis\.txt/);
  });

  it('are refused for other data, damaged files and generated samples', async () => {
    const folder = freshFolder();
    await capturing(folder, teacherOf());
    const facts = readCapture(folder);
    expect(() => new CapturedTeacher(folder, facts, { ...dataset, fingerprint: 'other' })).toThrow(/7 samples of data/);
    const teacher = new CapturedTeacher(folder, facts, dataset);
    await expect(teacher.rowsFor(undefined as never, 'a story')).rejects.toThrow(/nothing of a story/);
    const path = join(folder, 'scores-00001.bin');
    const bytes = readFileSync(path);
    bytes[40]! ^= 1;
    writeFileSync(path, bytes);
    await expect(teacher.rowsOf(4)).rejects.toMatchObject({ code: 'malformed' });
  });
});
