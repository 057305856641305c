import { describe, expect, test } from 'vitest';
import { findChannelGroups } from '../../../src/analysis/channel-groups/groups.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import type { Dataset, NumericArray } from '../../../src/calibration/dataset.ts';
import { floatsOfArray } from '../../../src/execution/arrays.ts';
import { observeProgram } from '../../../src/execution/observe.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { KeptRows } from '../../../src/stages/slice/kept-rows.ts';
import { prepareForSlicing } from '../../../src/stages/slice/prepare.ts';
import { recalibrate } from '../../../src/stages/slice/recalibrate.ts';
import { contextFor, measured, slice, tinyCnn, tinyPictures } from './workbench.ts';

/** Means and variances of the channels of every convolution's output. */
const momentsOf = async (
  program: Program,
  dataset: Dataset,
): Promise<Map<string, { mean: number; variance: number }[]>> => {
  const found = new Map<string, { sum: number; squares: number; count: number }[]>();
  const observations = findSites(program)
    .filter(({ op }) => op === 'Conv')
    .map(({ name, output, rows }) => {
      const sums = Array.from({ length: rows }, () => ({ sum: 0, squares: 0, count: 0 }));
      found.set(name, sums);
      const observe = (array: NumericArray): void => {
        const values = floatsOfArray(array);
        const positions = values.length / (array.shape[0]! * rows);
        values.forEach((value, at) => {
          const own = sums[Math.floor(at / positions) % rows]!;
          own.sum += value;
          own.squares += value ** 2;
          own.count++;
        });
      };
      return { value: output, observer: { observe } };
    });
  await observeProgram({
    program,
    dataset,
    engine: onnxruntimeEngine,
    observations,
    task: 'test',
    emit: () => undefined,
    signal: new AbortController().signal,
  });
  return new Map(
    [...found].map(([name, sums]) => [
      name,
      sums.map(({ sum, squares, count }) => ({
        mean: sum / count,
        variance: squares / count - (sum / count) ** 2,
      })),
    ]),
  );
};

describe('recalibration of convolutions', async () => {
  const model = await tinyCnn();
  const calibration = await tinyPictures(model, 'calibration', 48);
  const original = prepareForSlicing(model.program);

  test('what stays has the means and variances that it had, behind whatever was cut', async () => {
    const program = cloneProgram(original);
    const found = findChannelGroups(program);
    const group = found.groups.find(({ kind, count }) => kind === 'channels' && count > 4)!;
    const removed = new Map([[group.name, [0, 2]]]);
    const kept = new KeptRows();
    found.cut(removed);
    kept.cut(found, removed);
    await recalibrate(program, original, kept, contextFor(calibration), { writers: true });
    const [before, after] = [await momentsOf(original, calibration), await momentsOf(program, calibration)];
    for (const [name, moments] of after) {
      const rows = kept.of(name, moments.length);
      moments.forEach(({ mean, variance }, row) => {
        const source = before.get(name)![rows[row]!]!;
        const scale = Math.sqrt(source.variance) + 1e-3;
        expect(Math.abs(mean - source.mean) / scale, name).toBeLessThan(1e-2);
        expect(Math.abs(variance - source.variance) / scale ** 2, name).toBeLessThan(2e-2);
      });
    }
  });

  test('where nothing was cut nothing changes', async () => {
    const program = cloneProgram(original);
    await recalibrate(program, original, new KeptRows(), contextFor(calibration), { writers: true });
    const evaluation = await tinyPictures(model, 'evaluation', 40);
    expect(await measured('kl', { ...model, program }, model, evaluation)).toBeLessThan(1e-6);
  });

  test('it gives back a part of what plain removal by size has lost', async () => {
    const evaluation = await tinyPictures(model, 'evaluation', 150);
    const written = { method: 'magnitude', ratio: { operations: 0.3 } };
    const bare = await slice(model, written, contextFor(calibration));
    const recalibrated = await slice(model, { ...written, recalibrate: true }, contextFor(calibration));
    expect(await measured('kl', recalibrated.model, model, evaluation)).toBeLessThan(
      await measured('kl', bare.model, model, evaluation),
    );
  });
});

test('rows are followed through several cuts', async () => {
  const program = cloneProgram(prepareForSlicing((await tinyCnn()).program));
  const kept = new KeptRows();
  const nameOf = (): string => findChannelGroups(program).groups.find(({ kind }) => kind === 'channels')!.name;
  const siteOf = (): string =>
    findChannelGroups(program).groups.find(({ kind }) => kind === 'channels')!.producers[0]!.site.name;
  const site = siteOf();
  const rows = findSites(program).find(({ name }) => name === site)!.rows;
  for (const channels of [[1], [0, 1]]) {
    const found = findChannelGroups(program);
    const removed = new Map([[nameOf(), channels]]);
    found.cut(removed);
    kept.cut(found, removed);
  }
  expect(kept.of(site, rows - 3)).toEqual(Array.from({ length: rows - 3 }, (_, row) => row + 3));
});
