import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { findBlocks } from '../../../src/analysis/blocks.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { openModel } from '../../../src/artifact/open.ts';
import { type BackwardWalkOptions, walkBackward } from '../../../src/autodiff/blockwise/block-backward.ts';
import { appendGradients } from '../../../src/autodiff/gradient.ts';
import { prepareForGradients } from '../../../src/autodiff/prepare.ts';
import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { addArrays, arrayOfNumbers } from '../../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { type Feeds, withSession } from '../../../src/execution/session.ts';
import { OperatorBuilder } from '../../../src/ir/build.ts';
import { cloneGraph } from '../../../src/ir/clone.ts';
import { intAttribute, type Program, type Value } from '../../../src/ir/graph.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { tensorType } from '../../../src/ir/shape.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { Random } from '../../../src/random.ts';
import { sharedData } from '../../shared.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'modelpress-backward-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

type Target = Pick<BackwardWalkOptions, 'program' | 'loss' | 'of'> & {
  readonly seed?: Value;
  readonly watch?: Value[];
};

/** Gradients of one run by the whole graph at once. */
const wholeGradients = async (target: Target, feeds: Feeds): Promise<Map<string, NumericArray>> => {
  const known = new Map<Value, Value>();
  const program: Program = { ...target.program, graph: cloneGraph(target.program.graph, known) };
  const { graph } = program;
  const { byValue } = appendGradients({
    graph,
    loss: known.get(target.loss)!,
    ...(target.seed ? { seed: known.get(target.seed)! } : {}),
    of: target.of.map((value) => known.get(value)!),
  });
  const build = new OperatorBuilder(graph, 'result');
  const outputs = target.of.map((value) => {
    const gradient = byValue.get(known.get(value)!);
    return gradient && build.call('Identity', [gradient]);
  });
  graph.outputs.splice(0, graph.outputs.length, ...outputs.filter((value) => value !== undefined));
  inferShapes(program);
  return withSession(onnxruntimeEngine, program, {}, async (session) => {
    const arrays = await session.run(feeds);
    return new Map(
      target.of.flatMap((value, index) => {
        const output = outputs[index];
        return output ? [[value.name, arrays.get(output.name)!] as const] : [];
      }),
    );
  });
};

/** The same, block by block; parts of constants are added up. */
const walkedGradients = async (target: Target, runs: readonly Feeds[], maxMemoryBytes: number) => {
  const gradients = runs.map(() => new Map<string, NumericArray>());
  const values = runs.map(() => new Map<string, NumericArray>());
  const order: string[] = [];
  let spilled = 0;
  const unreached = await walkBackward(
    {
      ...target,
      engine: onnxruntimeEngine,
      runCount: runs.length,
      feeds: async (run) => runs[run]!,
      maxMemoryBytes,
      scratch: { directory },
      task: 'test',
      emit: () => {},
      signal: new AbortController().signal,
    },
    (seen) => {
      if (seen.run === 0) order.push(seen.block.name);
      spilled = Math.max(spilled, readdirSync(directory).length);
      const found = gradients[seen.run]!;
      for (const [{ name }, array] of seen.gradients)
        found.set(name, found.has(name) ? addArrays(found.get(name)!, array) : array);
      for (const [{ name }, array] of seen.values) {
        expect(values[seen.run]!.has(name)).toBe(false);
        values[seen.run]!.set(name, array);
      }
    },
  );
  return { gradients, values, order, spilled, unreached };
};

const expectClose = (found: NumericArray, wanted: NumericArray, tolerance: number): void => {
  expect(found.shape).toEqual(wanted.shape);
  let [size, difference] = [0, 0];
  for (let index = 0; index < wanted.data.length; index++) {
    size = Math.max(size, Math.abs(Number(wanted.data[index])));
    difference = Math.max(difference, Math.abs(Number(wanted.data[index]) - Number(found.data[index])));
  }
  expect(size).toBeGreaterThan(0);
  expect(difference / size).toBeLessThan(tolerance);
};

const names = ['a', 'b', 'c', 'd', 'e'];
/** Five layers with residuals; the first layer's output is read by the last one too, and a weight is used twice. */
const residual = `program opset=21
graph main(x: float32[batch, 8], s: float32[batch, 8]) -> (l: float32[], y: float32[batch, 8]) {
  ${names.map((name, index) => `${name}: float32[8, 8] = random(seed=${index})`).join('\n  ')}
  h = MatMul(x, a)
  ha = Tanh(h)
  i = MatMul(ha, b)
  ib = Add(i, ha)
  ic = Tanh(ib)
  j = MatMul(ic, c)
  jc = Tanh(j)
  jd = Add(jc, ib)
  k = MatMul(jd, d)
  kt = Tanh(k)
  m = MatMul(kt, a)
  mt = Mul(m, ha)
  y = MatMul(mt, e)
  sq = Mul(y, y)
  l = ReduceSum(sq, keepdims=0)
}`;

const residualTarget = (): Target => {
  const program = parseProgram(residual);
  prepareForGradients(program);
  const { graph } = program;
  const sites = findSites(program);
  return {
    program,
    loss: graph.outputs[0]!,
    of: [...sites.map((site) => site.output), ...graph.initializers, graph.inputs[0]!],
    watch: sites.map((site) => site.input),
  };
};

const randomRuns = (count: number): Feeds[] =>
  Array.from({ length: count }, (_, run) => {
    const random = new Random(3, `run ${run}`);
    const draw = () =>
      arrayOfNumbers(
        'float32',
        [2 + run, 8],
        Float32Array.from({ length: (2 + run) * 8 }, () => random.normal()),
      );
    return new Map([
      ['x', draw()],
      ['s', draw()],
    ]);
  });

describe('a walk back over blocks', () => {
  test.each([
    ['in memory', 1e9],
    ['spilled to disk', 100],
  ])('gives the gradients of the whole graph, activations %s', async (_name, maxMemoryBytes) => {
    const target = residualTarget();
    expect(findBlocks(target.program).length).toBeGreaterThan(2);
    const runs = randomRuns(3);
    const walked = await walkedGradients(target, runs, maxMemoryBytes);
    expect(walked.unreached).toEqual([]);
    expect(walked.spilled > 0).toBe(maxMemoryBytes < 1e9);
    expect(walked.order).toEqual(
      findBlocks(target.program)
        .map(({ name }) => name)
        .reverse(),
    );
    for (const [run, feeds] of runs.entries()) {
      const whole = await wholeGradients(target, feeds);
      expect([...walked.gradients[run]!.keys()].sort()).toEqual([...whole.keys()].sort());
      for (const [name, array] of whole) expectClose(walked.gradients[run]!.get(name)!, array, 1e-5);
      expect([...walked.values[run]!.keys()].sort()).toEqual(
        [...new Set(target.watch!.map(({ name }) => name))].sort(),
      );
    }
    expect(readdirSync(directory)).toEqual([]);
  });

  test('starts from any tensor with a seed: one that is fed, one computed beside the loss, one computed later', async () => {
    const base = residualTarget();
    const { graph } = base.program;
    const valueNamed = (name: string): Value =>
      graph.nodes.flatMap((node) => node.outputs).find((value) => value?.name === name)!;
    const seeds: readonly (readonly [Value, Value])[] = [
      [valueNamed('y'), graph.inputs[1]!],
      [valueNamed('y'), valueNamed('sq')],
      [valueNamed('k'), valueNamed('y')],
    ];
    const feeds = randomRuns(1);
    for (const [loss, seed] of seeds) {
      const of = base.of.filter((value) => !['m', 'y', 'e'].includes(value.name));
      const target = { ...base, loss, seed, of, watch: [] };
      const walked = await walkedGradients(target, feeds, 1e9);
      const whole = await wholeGradients(target, feeds[0]!);
      expect(walked.gradients[0]!.size).toBe(whole.size);
      for (const [name, array] of whole) expectClose(walked.gradients[0]!.get(name)!, array, 1e-5);
    }
  });

  test('names values that no gradient reaches', async () => {
    const base = residualTarget();
    const site = findSites(base.program).at(-1)!;
    const walked = await walkedGradients(
      { ...base, loss: findSites(base.program)[2]!.output, seed: base.program.graph.inputs[1]!, of: [...base.of] },
      randomRuns(1),
      1e9,
    );
    expect(walked.unreached.map(({ name }) => name)).toContain(site.output.name);
  });

  test('refuses an operator without a rule before anything runs', async () => {
    const program = parseProgram(`program opset=21
graph main(x: float32[2, 8]) -> (y: float32[2, 8]) {
  a: float32[8, 8] = random(seed=0)
  h = MatMul(x, a)
  i = Det(h)
  y = MatMul(h, a)
  z = Add(i, y)
  l = ReduceSum(z, keepdims=0)
}`);
    const { graph } = program;
    const loss = graph.nodes.at(-1)!.outputs[0]!;
    loss.type = tensorType('float32', []);
    let asked = 0;
    const walk = walkBackward(
      {
        program,
        loss,
        of: [...graph.initializers],
        engine: onnxruntimeEngine,
        runCount: 1,
        feeds: async () => {
          asked++;
          return new Map();
        },
        maxMemoryBytes: 1e9,
        scratch: { directory },
        task: 'test',
        emit: () => {},
        signal: new AbortController().signal,
      },
      () => {},
    );
    await expect(walk).rejects.toThrow('operator Det has no gradient rule');
    expect(asked).toBe(0);
  });
});

describe('a walk back over the blocks of a language model', () => {
  const folder = sharedData('llm-stories260k');
  it.skipIf(!folder)('gives the gradients of all products and weights (needs ../shared/data)', async () => {
    const { program } = await openModel(folder!);
    prepareForGradients(program);
    const { graph } = program;
    const build = new OperatorBuilder(graph, 'loss');
    const logits = graph.outputs[0]!;
    const loss = build.typed(
      build.call('ReduceMean', [build.call('ReduceLogSumExp', [logits, build.integers([-1])])], {
        keepdims: intAttribute(0),
      }),
      tensorType('float32', []),
    );
    inferShapes(program);
    const sites = findSites(program);
    const weights = [...new Set(sites.map((site) => site.weight))];
    const target: Target = { program, loss, of: [...sites.map((site) => site.output), ...weights] };
    const random = new Random(1, 'ids');
    const ids = BigInt64Array.from({ length: 64 }, () => BigInt(3 + Math.floor(random.float() * 500)));
    const feeds: Feeds = new Map([['input_ids', { dtype: 'int64', shape: [1, 64], data: ids }]]);
    const whole = await wholeGradients(target, feeds);
    const walked = await walkedGradients(target, [feeds], 1e9);
    expect(walked.order).toEqual(['output', 'block 4', 'block 3', 'block 2', 'block 1', 'block 0', 'input']);
    expect(whole.size).toBe(target.of.length);
    for (const [name, array] of whole) expectClose(walked.gradients[0]!.get(name)!, array, 1e-4);
  });
});
