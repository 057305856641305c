import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findBlocks } from '../../src/analysis/blocks.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../src/analysis/site-weights.ts';
import { readOnnx } from '../../src/artifact/formats/onnx/read.ts';
import { openModel } from '../../src/artifact/open.ts';
import { type Dataset, type NumericArray, takeSamples } from '../../src/calibration/dataset.ts';
import { openDataset } from '../../src/calibration/samples/table.ts';
import { type BlockRunOptions, runBlocks } from '../../src/execution/block-runner.ts';
import { bindingOf } from '../../src/execution/feeds.ts';
import { observeProgram } from '../../src/execution/observe.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import type { Engine } from '../../src/execution/session.ts';
import { inputSignature } from '../../src/execution/signature.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import type { Program, Value } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import type { RunEvent } from '../../src/recipe/events.ts';
import { sharedData } from '../shared.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'modelpress-runner-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const randomData = (program: Program, options: Record<string, unknown> = {}): Promise<Dataset> =>
  openDataset(
    { random: null, samples: 3, window: 12, ...options },
    { baseDirectory: '/', seed: 3, modelInputs: inputSignature(program), vocabulary: bindingOf(program).vocabulary },
  );

const optionsFor = (program: Program, dataset: Dataset, maxMemoryBytes: number): BlockRunOptions => ({
  program,
  dataset,
  engine: onnxruntimeEngine,
  maxMemoryBytes,
  scratch: { directory },
  task: 'test',
  emit: () => {},
  signal: new AbortController().signal,
});

const collector = (value: Value) => {
  const arrays: NumericArray[] = [];
  return { arrays, observation: { value, observer: { observe: (array: NumericArray) => void arrays.push(array) } } };
};

/** The arrays of a value in all runs: by the whole program, and block by block. */
const bothWays = async (program: Program, dataset: Dataset, maxMemoryBytes: number) => {
  const output = program.graph.outputs[0]!;
  const whole = collector(output);
  const options = optionsFor(program, dataset, maxMemoryBytes);
  await observeProgram({ ...options, observations: [whole.observation] });
  const walked = collector(output);
  let spilled = 0;
  await runBlocks(options, async ({ block, observe }) => {
    spilled = Math.max(spilled, readdirSync(directory).length);
    if (block.outputs.includes(output)) await observe([walked.observation]);
  });
  return { whole: whole.arrays, walked: walked.arrays, spilled };
};

const largestDifference = (a: readonly NumericArray[], b: readonly NumericArray[]): number => {
  expect(a.map((array) => array.shape)).toEqual(b.map((array) => array.shape));
  let largest = 0;
  a.forEach((array, index) => {
    for (let at = 0; at < array.data.length; at++)
      largest = Math.max(largest, Math.abs(Number(array.data[at]) - Number(b[index]?.data[at])));
  });
  return largest;
};

const residual = `program opset=21
graph main(x: float32[batch, 8]) -> (y: float32[batch, 8]) {
  ${['a', 'b', 'c', 'd', 'e'].map((name, index) => `${name}: float32[8, 8] = random(seed=${index})`).join('\n  ')}
  one: float32[1] = [1]
  mask = Greater(x, one)
  scale = Cast(mask, to=1)
  h = MatMul(x, e)
  p = MatMul(h, a)
  q = Relu(p)
  r = MatMul(q, b)
  s = Mul(r, scale)
  t = Add(h, s)
  shape = Shape(t)
  u = MatMul(t, c)
  v = Relu(u)
  w = MatMul(v, d)
  z = Mul(w, scale)
  f = Add(t, z)
  y = Reshape(f, shape)
}`;

describe('walking a program block by block', () => {
  test.each([
    ['in memory', 1 << 30, 0],
    ['spilled to disk', 0, 1],
  ])('computes what the whole program computes, with activations %s', async (_, budget, files) => {
    const program = parseProgram(residual);
    const { whole, walked, spilled } = await bothWays(program, await randomData(program), budget);
    expect(whole).toHaveLength(3);
    expect(largestDifference(whole, walked)).toBe(0);
    expect(spilled).toBeGreaterThanOrEqual(files);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('feeds later blocks with what a changed block computes', async () => {
    const program = parseProgram(residual);
    const dataset = await randomData(program);
    const changed = cloneProgram(program);
    const seen = collector(changed.graph.outputs[0]!);
    await runBlocks(optionsFor(changed, dataset, 1 << 30), async ({ block, observe }) => {
      for (const site of block.sites)
        writeSiteMatrix(
          site,
          readSiteMatrix(site).map((weight) => weight / 2),
        );
      if (block.outputs.includes(changed.graph.outputs[0]!)) await observe([seen.observation]);
    });
    const expected = collector(changed.graph.outputs[0]!);
    await observeProgram({ ...optionsFor(changed, dataset, 0), observations: [expected.observation] });
    expect(largestDifference(expected.arrays, seen.arrays)).toBe(0);
  });

  test('shows observers every run in order, each value once a pass, several times if asked', async () => {
    const program = parseProgram(residual);
    const dataset = await randomData(program);
    const runs: number[] = [];
    await runBlocks(optionsFor(program, dataset, 1 << 30), async ({ block, runCount, observe }) => {
      expect(runCount).toBe(3);
      const value = block.sites[0]!.input;
      const observer = { observe: (_: NumericArray, run: number) => void runs.push(run) };
      await observe([{ value, observer }]);
      await observe([
        { value, observer },
        { value, observer },
      ]);
    });
    expect(runs).toEqual(findBlocks(program).flatMap(() => [0, 1, 2, 0, 0, 1, 1, 2, 2]));
  });

  test('shows values beside those of the program as it was, which is computed once', async () => {
    const program = parseProgram(residual);
    const dataset = await randomData(program);
    const untouched = cloneProgram(program);
    const findValue = (name: string): Value =>
      untouched.graph.nodes.flatMap(({ outputs }) => outputs).find((value) => value?.name === name)!;
    const wanted = ['r', 'w'].map((name) => collector(findValue(name)));
    await observeProgram({
      ...optionsFor(untouched, dataset, 0),
      observations: wanted.map(({ observation }) => observation),
    });
    let runs = 0;
    const engine: Engine = {
      ...onnxruntimeEngine,
      open: async (...given) => {
        const session = await onnxruntimeEngine.open(...given);
        return {
          inputNames: session.inputNames,
          outputNames: session.outputNames,
          run: (...feeds) => {
            runs++;
            return session.run(...feeds);
          },
          close: () => session.close(),
        };
      },
    };
    /** Runs of blocks that a walk takes in which pairs of two sites are looked at some times. */
    const walk = async (looks: number): Promise<number> => {
      runs = 0;
      const changed = cloneProgram(program);
      const originals = new Map<string, NumericArray[]>();
      const inputs: number[] = [];
      const options = { ...optionsFor(changed, dataset, 1 << 30), engine, original: 'walked' } as const;
      await runBlocks(options, async ({ block, observe }) => {
        for (const { input: value, output } of block.sites.filter(({ output: { name } }) => ['r', 'w'].includes(name)))
          for (let look = 0; look < looks; look++)
            await observe(
              [{ value, observer: { observe: (_, run) => void inputs.push(run) } }],
              [
                {
                  value,
                  originalName: output.name,
                  observe: (original) => {
                    const key = `${output.name} ${look}`;
                    originals.set(key, [...(originals.get(key) ?? []), original]);
                  },
                },
              ],
            );
        for (const site of block.sites)
          writeSiteMatrix(
            site,
            readSiteMatrix(site).map((weight) => weight / 2),
          );
      });
      for (const [index, name] of ['r', 'w'].entries())
        for (let look = 0; look < looks; look++)
          expect(largestDifference(wanted[index]!.arrays, originals.get(`${name} ${look}`)!)).toBe(0);
      expect(inputs).toEqual(Array.from({ length: 2 * looks }, () => [0, 1, 2]).flat());
      return runs;
    };
    const [none, once, twice] = [await walk(0), await walk(1), await walk(2)];
    const blocks = findBlocks(program).filter(({ sites }) =>
      sites.some(({ output }) => ['r', 'w'].includes(output.name)),
    );
    // A look computes inputs and originals of three samples; the first one also what the original needs to move on, so
    // that only what comes before the first pair takes runs of its own.
    expect(twice - once).toBe(blocks.length * 2 * 3);
    expect(once - none).toBe(twice - once + blocks[0]!.index * 3);
  });

  test('stops between runs when the signal fires, and leaves no files', async () => {
    const program = parseProgram(residual);
    const controller = new AbortController();
    const events: RunEvent[] = [];
    const emit = (event: RunEvent): void => {
      events.push(event);
      if (events.length === 2) controller.abort();
    };
    const options = { ...optionsFor(program, await randomData(program), 0), emit, signal: controller.signal };
    await expect(runBlocks(options, async () => {})).rejects.toMatchObject({ code: 'interrupted' });
    expect(events).toHaveLength(2);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe.skipIf(!sharedData('README.md'))('walking shared models block by block (needs ../shared/data)', () => {
  test.each([
    ['llm-stories260k/model.onnx', 0],
    ['llm-babyllama-tok105/model.onnx', 1 << 30],
    ['vision-cifar10-resnet/resnet20_cifar10.onnx', 100_000],
    ['vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx', 1 << 30],
    ['detect-ultraface/version-RFB-320.onnx', 1 << 20],
    ['audio-silero-vad/silero_vad_16k_op15.onnx', 1 << 30],
  ])('%s gives the outputs of the whole', async (path, budget) => {
    const program = readOnnx(sharedData(path)!);
    const dataset = takeSamples(await randomData(program, path.includes('silero') ? { window: 576 } : {}), 2);
    const { whole, walked } = await bothWays(program, dataset, budget);
    expect(whole).toHaveLength(2);
    expect(largestDifference(whole, walked)).toBeLessThan(1e-5);
  });

  test.each(['scoring', 'generation'] as const)(
    'a checkpoint in %s layout is walked by the blocks of its family',
    async (layout) => {
      const { program } = await openModel(sharedData('llm-stories260k')!, { layout });
      const names = findBlocks(program).map((block) => `${block.name}: ${block.sites.length}`);
      expect(names).toEqual(['input: 1', ...[0, 1, 2, 3, 4].map((block) => `block ${block}: 7`), 'output: 1']);
      const { whole, walked } = await bothWays(program, takeSamples(await randomData(program), 2), 1 << 30);
      expect(whole).toHaveLength(2);
      expect(largestDifference(whole, walked)).toBeLessThan(1e-5);
    },
  );

  test('sequences are walked with the state that the whole model carries', async () => {
    const program = readOnnx(sharedData('audio-silero-vad', 'silero_vad_16k_op15.onnx')!);
    const spec = {
      audio: sharedData('audio-silero-vad', 'test.wav')!,
      window: 512,
      context: 64,
      constants: { sr: 16000 },
      carry: { stateN: 'state' },
    };
    const dataset = await openDataset(spec, { baseDirectory: '/', seed: 0, modelInputs: inputSignature(program) });
    const short: Dataset = {
      ...dataset,
      sample: async (index) => {
        const sample = await dataset.sample(index);
        return sample.kind === 'sequence' ? { ...sample, steps: sample.steps.slice(0, 40) } : sample;
      },
    };
    const { whole, walked } = await bothWays(program, short, 1 << 30);
    expect(whole).toHaveLength(40);
    expect(largestDifference(whole, walked)).toBeLessThan(1e-6);
  });
});
