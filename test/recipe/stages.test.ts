import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { openModel } from '../../src/artifact/open.ts';
import type { Dataset } from '../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { Cache } from '../../src/recipe/cache.ts';
import { broadcast, openEventLog } from '../../src/recipe/event-log.ts';
import type { Finding } from '../../src/recipe/events.ts';
import { joinDatasets } from '../../src/recipe/joined-dataset.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import { runStages, type StagesContext } from '../../src/recipe/run-stages.ts';
import { parseRecipe } from '../../src/recipe/source.ts';
import type { Stage, StageContext } from '../../src/stages/stage.ts';
import { fixture, freshFolder } from './tiny-run.ts';

/** A stage that changes nothing, counts its runs and does with its context what a test wants. */
const counting = (
  work: (context: StageContext) => readonly Finding[] = () => [],
): Stage<unknown> & { runs: number } => ({
  name: 'quantize',
  summary: '',
  options: z.unknown(),
  runs: 0,
  needsCalibration: () => false,
  plan: () => ({ sites: [], memoryBytes: 0, findings: [] }),
  async run(model, _options, context) {
    this.runs++;
    return { model, findings: work(context) };
  },
});

const contextOf = (directory: string, stage: Stage<unknown>, written = ''): StagesContext => {
  const text = `model: m\noutput: o\nstages: [quantize]\n${written}`;
  const recipe = loadRecipe(parseRecipe(text, 'r.yaml'), directory);
  const entries = recipe.stages.map((entry) => ({ ...entry, card: stage }));
  return {
    recipe: { ...recipe, stages: entries },
    calibration: undefined,
    training: undefined,
    engine: onnxruntimeEngine,
    cache: new Cache(join(directory, 'cache')),
    fresh: false,
    emit: () => {},
    signal: new AbortController().signal,
  };
};

const model = openModel(fixture('tiny-cnn', 'model.onnx'));

describe('stages of a run', () => {
  test('run once for the same input, options and seed', async () => {
    const folder = freshFolder();
    const stage = counting();
    const context = contextOf(folder, stage);
    await runStages(await model, 'input', context);
    await runStages(await model, 'input', context);
    expect(stage.runs).toBe(1);
    await runStages(await model, 'other input', context);
    await runStages(await model, 'input', contextOf(folder, stage, 'seed: 1\n'));
    await runStages(await model, 'input', { ...context, fresh: true });
    expect(stage.runs).toBe(4);
  });

  test('tell their findings from the cache as they did when they ran', async () => {
    const finding: Finding = { kind: 'fact', text: 'found', site: 's', facts: { error: 0.5 } };
    const context = contextOf(
      freshFolder(),
      counting(() => [finding]),
    );
    const first = await runStages(await model, 'input', context);
    const second = await runStages(await model, 'input', context);
    expect(second.stages).toEqual(first.stages);
    expect(second.stages).toEqual([{ stage: 'quantize', findings: [finding], sites: [] }]);
  });

  test('find their checkpoints again after a failure, and have none once they are done', async () => {
    const found: unknown[] = [];
    const stage = counting(({ checkpoints }) => {
      found.push(checkpoints.get('block 0'));
      checkpoints.put('block 0', new Uint8Array([7]));
      if (found.length === 1) throw new Error('power cut');
      return [];
    });
    const context = contextOf(freshFolder(), stage);
    await expect(runStages(await model, 'input', context)).rejects.toThrow('power cut');
    await runStages(await model, 'input', context);
    expect(found).toEqual([undefined, new Uint8Array([7])]);
    expect(context.cache.describe().checkpoints.entries).toBe(0);
  });

  test('report the same when they were killed half-way as when they were not', async () => {
    const steps = 1000;
    const judgeEvery = 100;
    /** Trains from its checkpoint on; the first time the power goes out after some steps. */
    const training = (powerCutAt: number): Stage<unknown> => {
      let powerCut = powerCutAt;
      return counting(({ checkpoints, emit }) => {
        const kept = checkpoints.get('state');
        emit({ type: 'site-finished', stage: 'quantize', site: 'a', facts: { scheme: 'int4' } });
        for (let step = (kept ? Number(new TextDecoder().decode(kept)) : 0) + 1; step <= steps; step++) {
          const [loss, stage] = [1 / step, 'quantize'];
          const common = { parts: { kl: loss }, learningRate: 1e-3, gradientNorm: 1, seen: step };
          emit({ type: 'training-step', stage, step, steps, loss, ...common });
          if (step % judgeEvery === 0) emit({ type: 'training-judged', stage, step, steps, value: 2 / step });
          if (step === powerCut) {
            powerCut = 0;
            throw new Error('power cut');
          }
          if (step % 25 === 0) checkpoints.put('state', new TextEncoder().encode(String(step)));
        }
        emit({ type: 'site-finished', stage: 'quantize', site: 'a', facts: { output_error: 0.1 } });
        return [];
      });
    };
    const whole = await runStages(await model, 'input', contextOf(freshFolder(), training(0)));
    const context = contextOf(freshFolder(), training(617));
    await expect(runStages(await model, 'input', context)).rejects.toThrow('power cut');
    const [stage] = (await runStages(await model, 'input', context)).stages;
    expect(stage).toEqual(whole.stages[0]);
    expect(stage?.sites).toEqual([{ site: 'a', facts: { scheme: 'int4', output_error: 0.1 } }]);
    expect(stage?.training?.judged.length).toBe(steps / judgeEvery);
    expect(stage?.training?.steps.length).toBeLessThanOrEqual(402);
    expect(stage?.training?.steps.at(0)?.step).toBe(1);
    expect(stage?.training?.steps.at(-1)?.step).toBe(steps);
  });

  test('that train get the samples for training, the others those of calibration', async () => {
    const named = (fingerprint: string): Dataset => ({
      description: fingerprint,
      length: 1,
      fingerprint,
      sample: () => Promise.reject(new Error('not read')),
    });
    const seen: unknown[] = [];
    for (const trains of [true, false]) {
      const stage = {
        ...counting(({ calibration }) => {
          seen.push(calibration?.fingerprint);
          return [];
        }),
        trains,
      };
      const context = contextOf(freshFolder(), stage);
      await runStages(await model, 'input', { ...context, calibration: named('few'), training: named('many') });
      await runStages(await model, 'input', { ...context, calibration: named('few'), training: named('many') });
      await runStages(await model, 'input', { ...context, calibration: named('few'), training: named('other') });
    }
    expect(seen).toEqual(['many', 'other', 'few']);
  });

  test('have a scratch folder that does not outlive them', async () => {
    let scratch = '';
    const stage = counting((context) => {
      scratch = context.scratch.directory;
      writeFileSync(join(scratch, 'spill'), 'x');
      return [];
    });
    await runStages(await model, 'input', contextOf(freshFolder(), stage));
    expect(() => readFileSync(join(scratch, 'spill'))).toThrow();
  });

  test('that fall back are an error of a strict run, from the cache too', async () => {
    const folder = freshFolder();
    const stage = counting(() => [{ kind: 'fallback', text: 'ten times the damping', site: 'q' }]);
    await runStages(await model, 'input', contextOf(folder, stage));
    const strict = runStages(await model, 'input', contextOf(folder, stage, 'strict: true\n'));
    await expect(strict).rejects.toMatchObject({ code: 'numeric', where: { file: 'r.yaml', line: 3, site: 'q' } });
    expect(stage.runs).toBe(1);
  });
});

const numbered = (name: string, length: number): Dataset => ({
  description: name,
  length,
  fingerprint: `${name}:${length}`,
  sample: async (index) => ({ kind: 'tokens', ids: Int32Array.of(index), scored: Uint8Array.of(0) }),
});

describe('several calibration datasets', () => {
  test('are one after the other', async () => {
    const joined = joinDatasets([numbered('a', 2), numbered('b', 3)]);
    const ids = await Promise.all(
      [0, 1, 2, 3, 4].map(async (index) => {
        const sample = await joined?.sample(index);
        return sample?.kind === 'tokens' ? sample.ids[0] : undefined;
      }),
    );
    expect([joined?.length, ids]).toEqual([5, [0, 1, 0, 1, 2]]);
    await expect(joined?.sample(5)).rejects.toThrow('sample 5');
  });

  test('have a fingerprint that depends on each and on their order', () => {
    const print = (...parts: Dataset[]): string | undefined => joinDatasets(parts)?.fingerprint;
    expect(print(numbered('a', 2), numbered('b', 3))).not.toBe(print(numbered('b', 3), numbered('a', 2)));
    expect(print(numbered('a', 2))).toBe('a:2');
    expect(print()).toBeUndefined();
  });
});

describe('the log of events', () => {
  test('keeps every event but most of the progress, and always the last of a task', () => {
    const file = join(freshFolder(), 'deep', 'events.ndjson');
    const log = openEventLog(file);
    const emit = broadcast([log.listener]);
    for (let done = 1; done <= 1000; done++) emit({ type: 'progress', task: 't', done, total: 1000, unit: 'steps' });
    emit({ type: 'message', severity: 'info', text: 'end' });
    log.close();
    emit({ type: 'message', severity: 'info', text: 'too late' });
    const events = readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events.length).toBeLessThan(50);
    expect(events.slice(-2)).toMatchObject([{ done: 1000 }, { text: 'end' }]);
    for (const event of events) expect(event.atMs).toBeTypeOf('number');
  });
});
