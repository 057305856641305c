import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findExpertLayers } from '../../src/analysis/experts/layers.ts';
import { countsOf } from '../../src/analysis/experts/routing.ts';
import { openModel } from '../../src/artifact/open.ts';
import type { Dataset } from '../../src/calibration/dataset.ts';
import { traceRouting } from '../../src/calibration/statistics/routing.ts';
import { observeProgram } from '../../src/execution/observe.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { Random } from '../../src/random.ts';
import { fixture, freshFolder, writeRecipe } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

const folder = freshFolder();
const model = join(import.meta.dirname, '../../fixtures/reference/mixtral');

const recipe = (data = '{ random: normal, samples: 4, window: 32 }', of = model): string => `
model: ${of}
output: out
data:
  calibration: ${data}
stages:
  - quantize: { method: rtn, weights: { bits: 4, group_size: 16 } }
`;

const windows: Dataset = {
  description: 'windows',
  length: 3,
  fingerprint: 'windows',
  sample: async (index) => {
    const random = new Random(index, 'tokens');
    const ids = Int32Array.from({ length: 20 }, () => random.integer(48));
    return { kind: 'tokens', ids, scored: new Uint8Array(20).fill(1) };
  },
};

test('every expert is called by as many tokens as its weights see', async () => {
  const { program } = await openModel(model);
  const layers = findExpertLayers(program);
  expect(layers.map(({ block, chosen, experts }) => [block, chosen, experts.length])).toEqual([
    [0, 2, 4],
    [1, 2, 4],
  ]);
  const context = {
    program,
    dataset: windows,
    engine: onnxruntimeEngine,
    emit: () => {},
    signal: new AbortController().signal,
  };
  const trace = await traceRouting(layers, context);
  expect(trace.tokens).toBe(60);
  const rows = layers.map(({ experts }) => experts.map(() => 0));
  await observeProgram({
    ...context,
    task: 'counting',
    observations: layers.flatMap(({ experts }, layer) =>
      experts.map(({ sites }, expert) => ({
        value: sites[0]!.input,
        observer: {
          observe: ({ shape }) => {
            rows[layer]![expert]! += shape[0]!;
          },
        },
      })),
    ),
  });
  expect(trace.layers.map(countsOf)).toEqual(rows);
});

test('compress plan says which experts stay in a fast memory, and what to expect of it', async () => {
  const path = writeRecipe(folder, recipe());
  const run = async (memory: string) => {
    const { exitCode, out, err } = await capture(['plan', path, '--fast-memory', memory, '--json'], folder);
    expect(err).toBe('');
    expect(exitCode).toBe(0);
    return JSON.parse(out).placement;
  };
  const whole = await run('1MB');
  for (const { hitRate, missedBytes } of whole.choices) expect([hitRate, missedBytes]).toEqual([1, 0]);
  const half = await run(String(Math.ceil(whole.expertBytes / 2)));
  const [called, , recent] = half.choices;
  expect(called.bytes).toBeLessThanOrEqual(half.fastMemoryBytes);
  expect(half.layers.flatMap(({ residents }: { residents: number[] }) => residents)).toHaveLength(4);
  // No worse than chance, since the experts called most were taken.
  expect(called.hitRate).toBeGreaterThanOrEqual(0.5);
  expect(called.hitRate).toBeLessThan(1);
  expect(recent.hitRate).toBeGreaterThan(0);
  expect(called.secondsPerToken).toBeCloseTo(
    whole.choices[0].secondsPerToken + called.missedBytes / half.transferBandwidth,
    15,
  );
  expect(half.layers[0].steps[0].share).toBeGreaterThan(0);
  const { out } = await capture(['plan', path, '--fast-memory', '4kB'], folder);
  expect(out).toMatch(/the experts called most stay +[\d.]+ %/);
});

test('what cannot be placed is refused', async () => {
  const refused = async (text: string, ...flags: string[]): Promise<string> => {
    const { exitCode, err } = await capture(['plan', writeRecipe(folder, text, 'odd.yaml'), ...flags], folder);
    expect(exitCode).toBe(2);
    return err;
  };
  const dense = recipe(
    `{ text: ${fixture('tiny-llama', 'calibration.txt')}, window: 32, samples: 2 }`,
    fixture('tiny-llama'),
  );
  expect(await refused(dense, '--fast-memory', '1MB')).toContain('the model has no experts to place');
  expect(await refused(recipe('[]'), '--fast-memory', '1MB')).toContain('the recipe gives none');
  expect(await refused(recipe(), '--fast-memory', 'much')).toContain('expected a size like 200MB, found "much"');
});
