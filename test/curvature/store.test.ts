import { expect, test } from 'vitest';
import {
  gradientDiagonal,
  gradientMoment,
  inputDiagonal,
  inputMoment,
  lossScale,
} from '../../src/curvature/moments.ts';
import { changeMeter, predictLoss } from '../../src/curvature/predict.ts';
import { curvatureOf } from '../../src/curvature/store.ts';
import type { Program } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';
import { contextIn, normalSamples, scratchFolder } from './workbench.ts';

const scratch = scratchFolder();

const network = (classes = 10): Program =>
  parseProgram(`program opset=21
graph g(x: float32[N, 24]) -> (logits) {
  q: float32[24, 16] = random(seed=1)
  k: float32[24, 16] = random(seed=2)
  o: float32[16, ${classes}] = random(seed=3)
  a = MatMul(x, q) { name: "a" }
  b = MatMul(x, k) { name: "b" }
  c = Mul(a, b)
  d = Tanh(c)
  logits: float32[N, ${classes}] = MatMul(d, o) { name: "head" }
}
`);

const normals = (name = 'normal') => normalSamples([5, 24], 3, name);

const contextOf = (kept: Map<string, Uint8Array>, maxMemoryBytes = 2 ** 30) =>
  contextIn(scratch, { kept, maxMemoryBytes });

test('a second stage collects nothing, whichever sites it wants; other weights, samples or seeds are collected anew', async () => {
  const kept = new Map<string, Uint8Array>();
  await curvatureOf({ program: network(), dataset: normals(), context: contextOf(kept) });
  const again = contextOf(kept);
  const { sites } = await curvatureOf({
    program: network(),
    dataset: normals(),
    context: again,
    wanted: (site) => site.name === 'b',
  });
  expect(again.sessions()).toBe(0);
  expect(sites.has('b')).toBe(true);
  const others = [
    { program: network(11), dataset: normals(), seed: 1 },
    { program: network(), dataset: normals('others'), seed: 1 },
    { program: network(), dataset: normals(), seed: 2 },
  ];
  for (const { seed, ...other } of others) {
    const context = { ...contextOf(kept), seed };
    await curvatureOf({ ...other, context });
    expect(context.sessions()).toBeGreaterThan(0);
  }
});

test('sites with the same input share one A in the store', async () => {
  const kept = new Map<string, Uint8Array>();
  await curvatureOf({ program: network(), dataset: normals(), context: contextOf(kept) });
  const parts = [...kept.keys()].map((key) => key.split('/')[1]);
  const inputs = parts.filter((part) => part?.startsWith('inputs') && !part.endsWith('diagonal'));
  expect(inputs).toEqual(['inputs 0 of a', 'inputs 0 of head']);
});

test('sites that do not fit into memory together are collected in several passes, with the same result', async () => {
  const wide = await curvatureOf({ program: network(), dataset: normals(), context: contextOf(new Map()) });
  const context = contextOf(new Map(), 4000);
  const narrow = await curvatureOf({ program: network(), dataset: normals(), context });
  for (const [name, site] of wide.sites) {
    expect(inputMoment(narrow.sites.get(name)!)).toEqual(inputMoment(site));
    expect(gradientMoment(narrow.sites.get(name)!)).toEqual(gradientMoment(site));
  }
});

test('of a vocabulary only the diagonal of B is kept, and losses are predicted with it', async () => {
  const program = network(5000);
  const { sites } = await curvatureOf({ program, dataset: normals(), context: contextOf(new Map()) });
  const head = sites.get('head')!;
  expect(head.gradients!.kind).toBe('diagonal');
  expect(gradientMoment(head)).toBeUndefined();
  const b = gradientDiagonal(head)!;
  const a = inputMoment(head);
  const delta = new Float32Array(5000 * 16);
  delta[4321 * 16 + 3] = 0.5;
  expect(await predictLoss(head, delta)).toBeCloseTo(lossScale(head) * b[4321]! * 0.25 * a[3 * 17]!, 12);
});

test('the predicted loss is tr(B ΔW A ΔWᵀ), scaled to the trace of the Fisher information', async () => {
  const { sites } = await curvatureOf({ program: network(), dataset: normals(), context: contextOf(new Map()) });
  const site = sites.get('a')!;
  const [a, b] = [inputMoment(site), gradientMoment(site)!];
  const delta = Float32Array.from(new Random(7, 'delta').normals(16 * 24));
  let trace = 0;
  for (let i = 0; i < 16; i++)
    for (let j = 0; j < 16; j++)
      for (let k = 0; k < 24; k++)
        for (let l = 0; l < 24; l++) trace += b[i * 16 + j]! * delta[j * 24 + k]! * a[k * 24 + l]! * delta[i * 24 + l]!;
  const { loss, outputError, weightedOutputError } = await changeMeter(site)(delta);
  const scale = lossScale(site);
  const sum = (x: Float64Array): number => x.reduce((total, value) => total + value, 0);
  expect((2 * scale * sum(inputDiagonal(site)) * sum(gradientDiagonal(site)!)) / site.trace).toBeCloseTo(1, 9);
  expect(loss! / (scale * trace)).toBeCloseTo(1, 9);
  const errors = Array.from({ length: 16 }, (_, i) => {
    let error = 0;
    for (let k = 0; k < 24; k++)
      for (let l = 0; l < 24; l++) error += delta[i * 24 + k]! * a[k * 24 + l]! * delta[i * 24 + l]!;
    return error;
  });
  const total = errors.reduce((sum, error) => sum + error, 0);
  const weighted = errors.reduce((sum, error, i) => sum + scale * b[i * 17]! * error, 0);
  expect(outputError / total).toBeCloseTo(1, 9);
  expect(weightedOutputError! / weighted).toBeCloseTo(1, 9);
});
