import { describe, expect, test } from 'vitest';
import { findSteps } from '../../../../src/analysis/steps.ts';
import type { Dataset } from '../../../../src/calibration/dataset.ts';
import type { CompressError } from '../../../../src/errors.ts';
import type { Model } from '../../../../src/ir/model.ts';
import { floatTensor, readFloats } from '../../../../src/ir/read.ts';
import { setThreads } from '../../../../src/kernels/index.ts';
import type { RunEvent } from '../../../../src/recipe/events.ts';
import { roundingMethods } from '../../../../src/stages/quantize/methods/index.ts';
import { runProgram } from '../../../artifact/lower/run.ts';
import { correlatedInputs, memoryCheckpoints, modelOf, packedOf, quantize } from './context.ts';

/** Two blocks with a residual stream, as the family would number them. */
const network = (): Model =>
  modelOf(`program opset=17 graph m(x: float32[6, 24]) -> (y) {
    a: float32[24, 32] = random(seed=1, scale=0.2)
    b: float32[32, 24] = random(seed=2, scale=0.2)
    c: float32[40, 24] = random(seed=3, scale=0.2)
    d: float32[24, 40] = random(seed=4, scale=0.2)
    h = MatMul(x, a) { name: "first.up", block: "0" }
    r = Relu(h) { block: "0" }
    o = MatMul(r, b) { name: "first.down", block: "0" }
    s = Add(x, o) { block: "0" }
    g = Gemm(s, c, transB=1) { name: "second.up", block: "1" }
    t = Tanh(g) { block: "1" }
    u = Gemm(t, d, transB=1) { name: "second.down", block: "1" }
    y = Add(s, u) { block: "1" }
  }`);

const inputs = correlatedInputs([6, 24], 24);

/** Mean square of the difference between what two models compute on data that no method has seen. */
const outputError = async (a: Model, b: Model): Promise<number> => {
  const held = correlatedInputs([6, 24], 40);
  let sum = 0;
  for (let index = 24; index < held.length; index++) {
    const sample = await held.sample(index);
    if (sample.kind !== 'arrays') throw new Error('arrays expected');
    const feeds = { x: sample.arrays.get('')! };
    const [one, other] = [await runProgram(a.program, feeds), await runProgram(b.program, feeds)];
    const [left, right] = [one.get('y')!.data as Float32Array, other.get('y')!.data as Float32Array];
    for (let at = 0; at < left.length; at++) sum += (left[at]! - right[at]!) ** 2;
  }
  return sum;
};

const codesOf = (model: Model): Record<string, string> =>
  Object.fromEntries(
    [...packedOf(model)].map(([name, { facts }]) => [
      name,
      Buffer.concat([facts.codes, new Uint8Array(facts.scales.buffer), facts.zeroPoints ?? new Uint8Array()]).toString(
        'hex',
      ),
    ]),
  );

const gptq = (weights: object, rest: object = {}): object => ({ method: 'gptq', weights, ...rest });

describe('gptq, block by block', () => {
  test.each([
    { bits: 4, group_size: 'row' },
    { bits: 3, group_size: 16 },
    { bits: 2, group_size: 16 },
  ])('computes nearer to the model than rounding to nearest (%j)', async (weights) => {
    const model = network();
    const near = await quantize(model, { method: 'rtn', weights });
    const far = await outputError(model, near.model);
    for (const clip of ['none', 'hessian', 'auto'] as const)
      for (const sequential of ['block', 'site'] as const) {
        const made = await quantize(model, gptq({ ...weights, clip }, { sequential }), { calibration: inputs });
        expect(await outputError(model, made.model), `${clip} ${sequential}`).toBeLessThan(0.75 * far);
        expect(made.findings).toEqual([]);
      }
  });

  test('auto is the descent in the curvature at few bits, gptq at 8, and rounding to nearest without data', async () => {
    const methods = async (bits: number, calibration: Dataset | undefined): Promise<unknown> => {
      const { model, findings } = await quantize(network(), { weights: { bits } }, { calibration });
      const used = [...new Set([...packedOf(model).values()].map(({ facts }) => facts.method))];
      const choices = findings.filter(({ text }) => text.includes('the choice of auto'));
      return [used, choices.map(({ kind, text }) => [kind, text.replace(/,.*/, '')])];
    };
    expect(await methods(3, inputs)).toEqual([['curvature'], [['fact', '3 bits by curvature']]]);
    expect(await methods(8, inputs)).toEqual([['gptq'], [['fact', '8 bits by gptq']]]);
    expect(await methods(4, undefined)).toEqual([['rtn'], [['fact', '4 bits by rtn']]]);
  });

  test('gives the same bytes for one thread and for several, and for tiny memory', async () => {
    const run = async (threads: number, maxMemoryBytes: number): Promise<Record<string, string>> => {
      setThreads(threads);
      return codesOf(
        (await quantize(network(), gptq({ bits: 3 }), { calibration: inputs, threads, maxMemoryBytes })).model,
      );
    };
    const once = await run(1, 2 ** 28);
    expect(await run(3, 2 ** 28)).toEqual(once);
    expect(await run(2, 2 ** 12)).toEqual(once);
    setThreads(2);
  });

  test('calibrates a block on what the quantized blocks before it compute', async () => {
    const seen = async (options: object): Promise<string> =>
      codesOf((await quantize(network(), options, { calibration: inputs })).model).c!;
    const alone = await seen(gptq({ bits: 2 }, { targets: ['second.*'] }));
    expect(await seen(gptq({ bits: 2 }))).not.toBe(alone);
    expect(await seen(gptq({ bits: 2 }, { overrides: [{ match: 'first.*', weights: 'none' }] }))).toBe(alone);
  });

  test('by site, also on what the quantized sites before it in its block compute', async () => {
    const options = (sequential: string): object => gptq({ bits: 2 }, { sequential });
    const [block, site] = [
      codesOf((await quantize(network(), options('block'), { calibration: inputs })).model),
      codesOf((await quantize(network(), options('site'), { calibration: inputs })).model),
    ];
    expect(site.a).toBe(block.a);
    expect(site.b).not.toBe(block.b);
  });

  test('goes on from its checkpoints to the same bytes, without looking at finished blocks again', async () => {
    const kept = new Map<string, Uint8Array>();
    const whole = await quantize(network(), gptq({ bits: 3 }), {
      calibration: inputs,
      checkpoints: memoryCheckpoints(kept),
    });
    expect(kept.size).toBe(findSteps(network().program).filter(({ sites }) => sites.length > 0).length);
    const interruption = new AbortController();
    const partial = new Map<string, Uint8Array>();
    const emit = (event: RunEvent): void => {
      if (event.type === 'site-finished' && event.site === 'second.up') interruption.abort();
    };
    await expect(
      quantize(network(), gptq({ bits: 3 }), {
        calibration: inputs,
        checkpoints: memoryCheckpoints(partial),
        emit,
        signal: interruption.signal,
      }),
    ).rejects.toThrow(expect.objectContaining<Partial<CompressError>>({ code: 'interrupted' }));
    expect(partial.size).toBe(3);
    const resumed = await quantize(network(), gptq({ bits: 3 }), {
      calibration: inputs,
      checkpoints: memoryCheckpoints(partial),
    });
    expect(codesOf(resumed.model)).toEqual(codesOf(whole.model));
    const finished = (events: readonly RunEvent[]): unknown[] => events.filter(({ type }) => type === 'site-finished');
    expect(finished(resumed.events)).toEqual(finished(whole.events));
  });

  test('says when calibration data are too few for the width', async () => {
    const few = correlatedInputs([6, 24], 2);
    const { findings } = await quantize(network(), gptq({ bits: 4 }), { calibration: few });
    expect(findings.map(({ kind, site }) => [kind, site])).toEqual(
      ['first.up', 'first.down', 'second.up', 'second.down'].map((site) => ['fallback', site]),
    );
    expect(findings[0]?.text).toMatch(/12 input vectors for 24 columns/);
  });

  test('says when more damping was needed than asked for', async () => {
    const problem = {
      weight: Float32Array.of(0.5, -0.25, 1, 0.75),
      rows: 2,
      columns: 2,
      scheme: { bits: 4, groupSize: 'row', grid: 'asymmetric', clip: 'none' },
      groupSize: 2,
      gram: Float64Array.of(1, 1.05, 1.05, 1),
      scaleType: 'float32',
      signal: new AbortController().signal,
    } as const;
    const round = (damp: number): ReturnType<typeof roundingMethods.gptq.round> =>
      roundingMethods.gptq.round({ ...problem, settings: { damp, actOrder: true, magr: 0 } });
    const rounded = await round(0.01);
    expect(rounded.facts.damp).toBeCloseTo(0.1);
    expect(rounded.fallback).toMatch(/not positive definite with damping 0.01/);
    expect((await round(0.2)).fallback).toBeUndefined();
    expect((await round(0)).facts.damp).toBeCloseTo(0.1);
  });

  test('rounds to nearest what multiplies nothing, and what it cannot observe', async () => {
    const program = `program opset=17 graph m(i: int64[4, 1], c: bool[]) -> (y) {
      table: float32[8, 16] = random(seed=1) w: float32[16, 16] = random(seed=2) z: float32[16, 16] = random(seed=3)
      h = Gather(table, i) { name: "embed" } k = MatMul(h, z) { name: "proj" }
      y = If(c, then_branch=graph a() -> (p) { p = MatMul(k, w) { name: "inner" } }, else_branch=graph b() -> (q) { q = Neg(k) }) }`;
    const arrays = new Map([
      ['i', { dtype: 'int64', shape: [4, 1], data: BigInt64Array.of(1n, 2n, 3n, 4n) } as const],
      ['c', { dtype: 'bool', shape: [], data: Uint8Array.of(1) } as const],
    ]);
    const calibration: Dataset = {
      description: 'ids',
      length: 1,
      fingerprint: '',
      sample: () => Promise.resolve({ kind: 'arrays', arrays }),
    };
    const { model, findings } = await quantize(modelOf(program), gptq({ bits: 4, group_size: 16 }), { calibration });
    expect([...packedOf(model)].map(([name, { facts }]) => [name, facts.method])).toEqual([
      ['table', 'rtn'],
      ['w', 'rtn'],
      ['z', 'gptq'],
    ]);
    expect(
      findings.filter(({ text }) => text.startsWith('rounded to nearest')).map(({ kind, site }) => [kind, site]),
    ).toEqual([
      ['fact', 'embed'],
      ['fallback', 'inner'],
    ]);
  });

  test('rounds each group of a convolution as if it were a convolution of its own', async () => {
    const weights = `w: float32[4, 3, 3, 3] = random(seed=2) v: float32[4, 3, 3, 3] = random(seed=3)`;
    const apart = `program opset=17 graph m(x: float32[2, 6, 9, 9]) -> (y) { ${weights} a, b = Split(x, axis=1)
      c = Conv(a, w, strides=[2, 2], pads=[1, 0, 1, 0]) d = Conv(b, v, strides=[2, 2], pads=[1, 0, 1, 0]) y = Concat(c, d, axis=1) }`;
    const joined = modelOf(
      'program opset=17 graph m(x: float32[2, 6, 9, 9]) -> (y) { u: float32[8, 3, 3, 3] = zeros y = Conv(x, u, group=2, strides=[2, 2], pads=[1, 0, 1, 0]) }',
    );
    const split = modelOf(apart);
    const [u] = joined.program.graph.initializers;
    const halves = [...split.program.graph.initializers].slice(0, 2).map(({ tensor }) => readFloats(tensor!));
    u!.tensor = floatTensor([8, 3, 3, 3], Float32Array.from([...halves[0]!, ...halves[1]!]));
    const calibration = correlatedInputs([2, 6, 9, 9], 6);
    const options = gptq({ bits: 3, group_size: 'row' });
    const [one, two] = [
      packedOf((await quantize(joined, options, { calibration })).model),
      packedOf((await quantize(split, options, { calibration })).model),
    ];
    const codes = [two.get('w')!, two.get('v')!].map(({ facts }) => Buffer.from(facts.codes));
    expect(Buffer.compare(Buffer.from(one.get('u')!.facts.codes), Buffer.concat(codes))).toBe(0);
  });
});
