import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../../../src/artifact/open.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import type { Engine } from '../../../src/execution/session.ts';
import { captureModel } from '../../../src/recipe/capture-model.ts';
import type { RunEvent } from '../../../src/recipe/events.ts';
import { dropLayers } from '../../../src/stages/distill/drop-layers.ts';
import type { StageContext } from '../../../src/stages/stage.ts';
import { isCapture } from '../../../src/training/capture/read.ts';
import { fixture } from '../../recipe/tiny-run.ts';
import { contextFor, distil, klOf, tinyLlama, tinyText } from './workbench.ts';

const folder = mkdtempSync(join(tmpdir(), 'modelpress-distill-'));
afterAll(() => rmSync(folder, { recursive: true }));

const partsOf = (events: readonly RunEvent[]): Record<string, number>[] =>
  events.flatMap((event) => (event.type === 'training-step' ? [{ ...event.parts }] : []));

describe('a student of another configuration', () => {
  it('learns from hidden states through projections, from attention and from relations', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 24);
    const events: RunEvent[] = [];
    const written = {
      student: { config: { hidden_size: 32, num_attention_heads: 2, num_key_value_heads: 1, num_hidden_layers: 2 } },
      losses: { 'forward-kl': 1, hidden: 1, attention: 1, relations: 1 },
      steps: 25,
      batch: 4,
      learning_rate: 3e-3,
      hold_out: 0,
    };
    const { model } = await distil(original, written, contextFor(original, data, { events }));
    expect(model.config).toMatchObject({ hidden_size: 32, num_hidden_layers: 2 });
    const parts = partsOf(events);
    expect(new Set(Object.keys(parts[0]!))).toEqual(
      new Set(['forward-kl', 'hidden 0', 'hidden 1', 'attention 1', 'relations 1']),
    );
    for (const name of Object.keys(parts[0]!)) expect(parts.at(-1)![name]).toBeLessThan(parts[0]![name]!);
    const held = await tinyText(original, 'evaluation', 4);
    expect(Number.isFinite(await klOf(model, original, held))).toBe(true);
  });

  it('is the same for the same seed and another one for another seed', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const written = { student: {}, steps: 1, batch: 2, hold_out: 0 };
    const weightOf = async (seed: number): Promise<Uint8Array> => {
      const { model } = await distil(original, written, contextFor(original, data, { seed }));
      return [...model.program.graph.initializers].find(({ name }) => name.includes('up_proj'))!.tensor!.bytes();
    };
    expect(await weightOf(1)).toEqual(await weightOf(1));
    expect(await weightOf(1)).not.toEqual(await weightOf(2));
  });

  it('of a graph without a family is refused, and so is one beside layers', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const foreign = { ...original, family: undefined };
    await expect(distil(foreign, { student: {} }, contextFor(original, data))).rejects.toThrow(/family/);
    await expect(distil(original, { student: {}, layers: [0] }, contextFor(original, data))).rejects.toThrow(
      /keep one/,
    );
  });
});

describe('attention', () => {
  it('of a model that has not changed is its own, head by head', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 8);
    const events: RunEvent[] = [];
    const losses = { attention: { layers: { 0: 0, 1: 1 } }, 'forward-kl': 1 };
    await distil(original, { losses, steps: 1, batch: 2, hold_out: 0 }, contextFor(original, data, { events }));
    const [parts] = partsOf(events);
    expect(Object.keys(parts!)).toContain('attention 1');
    for (const value of Object.values(parts!)) expect(Math.abs(value)).toBeLessThan(1e-5);
  });

  it('of layers that are not there is refused', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 8);
    const written = { losses: { attention: { layers: { 0: 7 } } } };
    await expect(distil(original, written, contextFor(original, data))).rejects.toThrow(/teacher layer 7/);
  });
});

describe('captured scores', () => {
  it('teach as the model does, and nothing but distributions', async () => {
    const original = await tinyLlama();
    const output = join(folder, 'captured');
    const spec = { text: fixture('tiny-llama', 'calibration.txt'), window: 32, samples: 24 };
    const facts = await captureModel({ model: fixture('tiny-llama'), data: [spec], output, top: 24, temperature: 1 });
    expect(facts.kept).toBe(24);
    const data = await tinyText(original, 'calibration', 24);
    const held = await tinyText(original, 'evaluation', 8);
    const models = {
      original,
      open: openModel,
      captureAt: (path: string) => (isCapture(path) ? path : undefined),
    };
    const written = { layers: [0, 2], steps: 30, batch: 4, hold_out: 0.2 };
    const learned = async (teacher: string): Promise<number> => {
      const { model } = await distil(original, { ...written, teacher }, contextFor(original, data, { models }));
      return klOf(model, original, held);
    };
    const cut = await klOf(dropLayers(original, [0, 2]), original, held);
    const [stored, live] = [await learned(output), await learned('input')];
    expect(stored).toBeLessThan(0.5 * cut);
    expect(Math.abs(stored - live)).toBeLessThan(0.15 * live);
    const hidden = { ...written, teacher: output, losses: { hidden: 1 } };
    await expect(distil(original, hidden, contextFor(original, data, { models }))).rejects.toThrow(
      /only scores were captured/,
    );
    const warm = { ...written, teacher: output, temperature: 2 };
    await expect(distil(original, warm, contextFor(original, data, { models }))).rejects.toThrow(/temperature 1/);
    const others = await tinyText(original, 'calibration', 20);
    await expect(
      distil(original, { ...written, teacher: output }, contextFor(original, others, { models })),
    ).rejects.toThrow(/24 samples/);
  });
});

describe('samples that the student writes', () => {
  const written = { layers: [0, 2], steps: 4, batch: 4, hold_out: 0, on_policy: { share: 0.5, prompt: 4, tokens: 6 } };

  it('begin as the data do, count as many tokens as they have, and follow from the seed', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const losses = async (seed: number): Promise<number[]> => {
      const events: RunEvent[] = [];
      await distil(original, written, contextFor(original, data, { events, seed }));
      return events.flatMap((event) => {
        if (event.type !== 'training-step') return [];
        expect(event.seen).toBe(event.step * (2 * 32 + 2 * 10));
        return [event.loss];
      });
    };
    const first = await losses(1);
    expect(await losses(1)).toEqual(first);
    expect(await losses(2)).not.toEqual(first);
  });

  it('may be those of earlier steps, and a run that was killed goes on with the same ones', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const replayed = { ...written, steps: 30, on_policy: { ...written.on_policy, replay: 0.7 } };
    const kept = new Map<string, Uint8Array>();
    const checkpoints = {
      get: (key: string) => kept.get(key),
      put: (key: string, bytes: Uint8Array) => void kept.set(key, bytes),
    };
    let runs = 0;
    const counted = (): Engine => ({
      ...onnxruntimeEngine,
      open: async (...given) => {
        const session = await onnxruntimeEngine.open(...given);
        const isGenerator = session.outputNames.length === 1 && session.outputNames[0]!.startsWith('generate');
        return {
          ...session,
          run: (...fed) => {
            if (isGenerator) runs++;
            return session.run(...fed);
          },
        };
      },
    });
    const runWith = async (changes: Partial<StageContext>): Promise<Record<number, number>> => {
      const events: RunEvent[] = [];
      await distil(original, replayed, contextFor(original, data, { events, engine: counted(), ...changes }));
      return Object.fromEntries(
        events.flatMap((event) => (event.type === 'training-step' ? [[event.step, event.loss]] : [])),
      );
    };
    const whole = await runWith({ checkpoints });
    const tokensEach = written.on_policy.tokens;
    expect(runs / tokensEach).toBeGreaterThanOrEqual(2);
    expect(runs / tokensEach).toBeLessThan(0.8 * replayed.steps);
    const resumed = await runWith({ checkpoints });
    expect(Object.keys(resumed).map(Number)).toEqual([26, 27, 28, 29, 30]);
    for (const [step, loss] of Object.entries(resumed)) expect(loss).toBe(whole[Number(step)]);
  });

  it('have no labels', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 12);
    const labelled = { ...written, losses: { 'cross-entropy': 1 } };
    await expect(distil(original, labelled, contextFor(original, data))).rejects.toThrow(/no labels/);
  });
});

describe('rationales', () => {
  it('that weigh nothing change what is learned, and markers may be ids or texts', async () => {
    const original = await tinyLlama();
    const data = await tinyText(original, 'calibration', 8);
    const sample = await data.sample(0);
    const id = sample.kind === 'tokens' ? sample.ids[5]! : 0;
    const lossOf = async (rationale?: object): Promise<number> => {
      const events: RunEvent[] = [];
      const written = { layers: [0, 2], steps: 1, batch: 8, hold_out: 0, ...(rationale ? { rationale } : {}) };
      await distil(original, written, contextFor(original, data, { events }));
      return events.flatMap((event) => (event.type === 'training-step' ? [event.loss] : []))[0]!;
    };
    const plain = await lossOf();
    expect(await lossOf({ begin: [id], end: [id], weight: 1 })).toBe(plain);
    expect(await lossOf({ begin: [id], end: [id], weight: 0 })).not.toBe(plain);
    await expect(lossOf({ begin: 'the', end: '.', weight: 0.5 })).resolves.toBeGreaterThan(0);
  });
});
