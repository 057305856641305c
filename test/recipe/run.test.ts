import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { verifyManifest } from '../../src/artifact/manifest.ts';
import { type CompressError, CompressErrors } from '../../src/errors.ts';
import { plan, run } from '../../src/index.ts';
import type { TimedEvent } from '../../src/recipe/events.ts';
import type { RunReport } from '../../src/report/schema.ts';
import { contentsOf, fixture, freshFolder, languageRecipe, writeRecipe } from './tiny-run.ts';

const errorOf = async (work: Promise<unknown>): Promise<CompressError> => {
  try {
    await work;
  } catch (error) {
    return error as CompressError;
  }
  throw new Error('nothing was thrown');
};

const problemsOf = async (work: Promise<unknown>): Promise<readonly CompressError[]> => {
  const error = await errorOf(work);
  return error instanceof CompressErrors ? error.errors : [error];
};

describe('a run', () => {
  const folder = freshFolder();
  const events: TimedEvent[] = [];
  let report: RunReport;

  beforeAll(async () => {
    report = await run(writeRecipe(folder, languageRecipe()), { listeners: [(event) => events.push(event)] });
  });

  test('measures before and after, on what was written, in every format', () => {
    const metric = (name: string): number[] =>
      report.metrics.after.filter(({ result }) => result.metric === name).map(({ result }) => result.value);
    expect(report.outcome).toBe('done');
    expect(report.metrics.before.map(({ metric: name, dataset }) => [name, dataset])).toEqual([
      ['perplexity', 'held-out'],
      ['size', ''],
    ]);
    const before = report.metrics.before[0]?.value ?? Number.NaN;
    for (const after of metric('perplexity')) expect(Math.abs(after / before - 1)).toBeLessThan(0.1);
    for (const divergence of metric('kl')) expect(divergence).toBeGreaterThan(0);
    expect((metric('perplexity')[0] ?? 0) / (metric('perplexity')[1] ?? 1)).toBeCloseTo(1, 2);
    expect(report.gates.map((gate) => [gate.format, gate.passed])).toEqual([
      ['onnx-matmulnbits', true],
      ['onnx-qdq', true],
    ]);
  });

  test('writes each format into a folder of its own, with companions, report, events and a true manifest', async () => {
    const output = join(folder, 'out');
    expect(readdirSync(output).sort()).toEqual([
      'events.ndjson',
      'manifest.json',
      'onnx-matmulnbits',
      'onnx-qdq',
      'report.html',
      'report.json',
    ]);
    expect(readdirSync(join(output, 'onnx-qdq'))).toEqual(
      expect.arrayContaining(['config.json', 'model.onnx', 'tokenizer.json']),
    );
    const { manifest, problems } = await verifyManifest(output);
    expect(problems).toEqual([]);
    expect(manifest.recipe).toBe(readFileSync(join(folder, 'recipe.yaml'), 'utf8'));
    expect(manifest.formats.map((format) => format.entry)).toEqual([
      'onnx-matmulnbits/model.onnx',
      'onnx-qdq/model.onnx',
    ]);
    expect(manifest.metrics.length).toBe(report.metrics.before.length + report.metrics.after.length);
    expect(JSON.parse(readFileSync(join(output, 'report.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(report)));
  });

  test('tells its events in order, from run-started to run-finished', () => {
    expect(events[0]?.type).toBe('run-started');
    expect(events.at(-1)).toMatchObject({ type: 'run-finished', outcome: 'done' });
    expect(events.some((event) => event.type === 'progress')).toBe(true);
    const logged = readFileSync(join(folder, 'out', 'events.ndjson'), 'utf8')
      .trimEnd()
      .split('\n');
    const typesOf = (list: readonly TimedEvent[]): string[] =>
      list.map((event) => event.type).filter((type) => type !== 'progress');
    expect(typesOf(logged.map((line) => JSON.parse(line)))).toEqual(typesOf(events));
  });

  test('again takes the stage from the cache and gives the same bytes; --fresh computes and gives them too', async () => {
    const first = contentsOf(join(folder, 'out'));
    for (const fresh of [false, true]) {
      const told: string[] = [];
      await run(join(folder, 'recipe.yaml'), { fresh, listeners: [(event) => told.push(event.type)] });
      expect(told.includes('stage-cached')).toBe(!fresh);
      expect(contentsOf(join(folder, 'out'))).toEqual(first);
    }
  });

  test('elsewhere, with another number of threads and less memory, gives the same model bytes', async () => {
    const other = freshFolder();
    await run({ ...recipeObject(other), threads: 1, max_memory: '1MiB' }, { directory: other });
    for (const format of ['onnx-matmulnbits', 'onnx-qdq'])
      expect(readFileSync(join(other, 'out', format, 'model.onnx'))).toEqual(
        readFileSync(join(folder, 'out', format, 'model.onnx')),
      );
  });

  test('with another seed or option does not take the cached stage', async () => {
    const told: string[] = [];
    await run(
      {
        ...recipeObject(folder),
        output: join(folder, 'out-w3'),
        stages: [{ quantize: { weights: { bits: 3 } } }],
        gates: [],
      },
      { directory: folder, listeners: [(event) => told.push(event.type)] },
    );
    expect(told).not.toContain('stage-cached');
  });
});

/** The recipe of `languageRecipe` as an object. */
const recipeObject = (output: string): Record<string, unknown> => ({
  model: fixture('tiny-llama'),
  output: join(output, 'out'),
  seed: 1,
  data: {
    calibration: { text: fixture('tiny-llama', 'calibration.txt'), window: 64, samples: 16 },
    evaluation: { name: 'held-out', text: fixture('tiny-llama', 'evaluation.txt'), window: 64, samples: 8 },
  },
  stages: [{ quantize: { method: 'gptq', weights: { bits: 4, group_size: 32 } } }],
  write: ['onnx-matmulnbits', 'onnx-qdq'],
  gates: [{ size: { ratio: 0.5 } }],
});

const small = (output: string): Record<string, unknown> => ({
  model: fixture('tiny-cnn', 'model.onnx'),
  output,
  stages: [{ quantize: { method: 'rtn', weights: { bits: 8, group_size: 'row' } } }],
});

describe('gates', () => {
  test('a failed gate is an outcome: the output is written and says so', async () => {
    const folder = freshFolder();
    const report = await run({ ...small('out'), gates: [{ size: { ratio: 0.01 } }] }, { directory: folder });
    expect(report.outcome).toBe('gate-failed');
    expect(report.gates[0]).toMatchObject({ gate: 'size ratio 0.01', passed: false });
    expect(JSON.parse(readFileSync(join(folder, 'out', 'report.json'), 'utf8')).outcome).toBe('gate-failed');
  });

  test('that can never be judged are refused before the work', async () => {
    const folder = freshFolder();
    const gates = [{ perplexity: { increase: '2%' } }, { kl: { drop: 0.1 } }];
    const problems = await problemsOf(run({ ...small('out'), gates }, { directory: folder }));
    expect(problems.map(({ message }) => message)).toEqual([
      "the gate 'perplexity' needs evaluation data, and the recipe gives none",
      "the gate 'kl' needs evaluation data, and the recipe gives none",
    ]);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });
});

describe('an output', () => {
  test('that would overwrite its input is refused', async () => {
    const folder = freshFolder();
    for (const output of [fixture('tiny-cnn'), join(fixture('tiny-cnn'), '..')])
      expect((await errorOf(run(small(output), { directory: folder }))).code).toBe('unsafe');
    expect(existsSync(fixture('tiny-cnn', 'model.onnx'))).toBe(true);
  });

  test('with files that no run wrote is refused and left alone', async () => {
    const folder = freshFolder();
    mkdirSync(join(folder, 'thesis'));
    writeFileSync(join(folder, 'thesis', 'chapter.txt'), 'years of work');
    const error = await errorOf(run(small('thesis'), { directory: folder }));
    expect(error.code).toBe('unsafe');
    expect(readFileSync(join(folder, 'thesis', 'chapter.txt'), 'utf8')).toBe('years of work');
  });

  test('below a file cannot be made', async () => {
    const folder = freshFolder();
    writeFileSync(join(folder, 'file'), '');
    expect((await errorOf(run(small('file/out'), { directory: folder }))).code).toBe('resource');
  });

  test('of an earlier run stays as it was when a later one fails', async () => {
    const folder = freshFolder();
    await run(small('out'), { directory: folder });
    const before = contentsOf(join(folder, 'out'));
    const failing = {
      ...small('out'),
      data: { evaluation: { arrays: fixture('tiny-cnn', 'evaluation.npz') } },
      metrics: ['perplexity'],
    };
    expect((await errorOf(run(failing, { directory: folder }))).code).toBe('data');
    expect(contentsOf(join(folder, 'out'))).toEqual(before);
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  test('is taken by one run at a time', async () => {
    const folder = freshFolder();
    const both = await Promise.allSettled([
      run(small('out'), { directory: folder }),
      run(small('out'), { directory: folder }),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

describe('what is wrong beyond the schema', () => {
  test('is told together, each at its place in the recipe', async () => {
    const folder = freshFolder();
    const file = writeRecipe(
      folder,
      `
model: ${fixture('tiny-llama')}
output: recipe.yaml/out
data:
  calibration: { text: none.txt }
  evaluation: { text: ${fixture('tiny-llama', 'evaluation.txt')}, window: 64, samples: 100000 }
stages:
  - quantize: { method: gptq }
`,
    );
    const problems = await problemsOf(plan(file));
    expect(problems.map(({ where, code }) => [where.line, code])).toEqual([
      [2, 'resource'],
      [4, 'not-found'],
      [5, 'data'],
    ]);
  });

  test('a method without the data it needs', async () => {
    const folder = freshFolder();
    const file = writeRecipe(
      folder,
      `model: ${fixture('tiny-llama')}\noutput: out\nstages:\n  - quantize: { method: gptq }\n`,
    );
    const [problem] = await problemsOf(plan(file));
    expect(problem?.where.line).toBe(4);
    expect(problem?.message).toContain('needs calibration data');
  });

  test('a model that is not there, a checkpoint of an unknown family, bytes that are no model', async () => {
    const folder = freshFolder();
    const codeOf = async (model: string): Promise<string> =>
      (await errorOf(run({ model, output: 'out' }, { directory: folder }))).code;
    expect(await codeOf('none.onnx')).toBe('not-found');
    writeFileSync(join(folder, 'noise.onnx'), Buffer.from('certainly no protobuf message'));
    expect(await codeOf('noise.onnx')).toBe('malformed');
    const strange = join(folder, 'strange');
    mkdirSync(strange);
    writeFileSync(join(strange, 'config.json'), '{"model_type": "perceptron"}');
    writeFileSync(join(strange, 'model.safetensors'), readFileSync(fixture('tiny-llama', 'model.safetensors')));
    expect(await codeOf('strange')).toBe('unsupported');
  });
});

describe('interruption', () => {
  test('keeps the cache, leaves no output, and is told as such', async () => {
    const folder = freshFolder();
    const file = writeRecipe(folder, languageRecipe());
    const controller = new AbortController();
    const told: TimedEvent[] = [];
    const interrupted = run(file, {
      signal: controller.signal,
      listeners: [
        (event) => {
          told.push(event);
          if (event.type === 'stage-started') controller.abort();
        },
      ],
    });
    expect((await errorOf(interrupted)).code).toBe('interrupted');
    expect(told.at(-1)).toMatchObject({ type: 'run-finished', outcome: 'interrupted' });
    expect(existsSync(join(folder, 'out'))).toBe(false);
    expect((await run(file)).outcome).toBe('done');
  });
});
