import { describe, expect, test } from 'vitest';
import { findSites } from '../../../src/analysis/sites.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { constantOf } from '../../../src/ir/walk.ts';
import { sliceStage } from '../../../src/stages/slice/index.ts';
import { synapticFlow } from '../../../src/stages/slice/synaptic-flow.ts';
import { contextFor, measured, slice, tinyCnn, tinyLlama, tinyPictures } from './workbench.ts';

describe('candidates', async () => {
  const model = await tinyCnn();
  const calibration = await tinyPictures(model, 'calibration', 48);
  const evaluation = await tinyPictures(model, 'evaluation', 100);
  const written = { ratio: { operations: 0.4 }, method: 'synflow', recalibrate: true };

  test('the one that loses least is taken, and the others are named', async () => {
    const context = (): ReturnType<typeof contextFor> => contextFor(calibration);
    const { model: best, findings } = await slice(model, { ...written, candidates: ['magnitude', 'flap'] }, context());
    const losses = findings[0]!.facts as Record<string, number>;
    expect(Object.keys(losses).sort()).toEqual(['flap', 'magnitude', 'synflow']);
    const taken = Object.keys(losses).reduce((a, b) => (losses[b]! < losses[a]! ? b : a));
    expect(findings[0]!.text).toContain(`${taken} is taken`);
    const { model: alone } = await slice(model, { ...written, method: taken }, context());
    expect(await measured('kl', best, model, evaluation)).toBeCloseTo(
      await measured('kl', alone, model, evaluation),
      6,
    );
  });

  test('without data they cannot be judged', async () => {
    await expect(
      slice(model, { ratio: 0.2, method: 'magnitude', candidates: ['synflow'] }, contextFor(undefined)),
    ).rejects.toThrow('judged on calibration data');
  });
});

describe('synaptic flow', () => {
  const network = parseProgram(`program opset=21
graph g(x: float32[1, 4]) -> (y: float32[1, 4]) {
  a: float32[4, 5] = random(seed=1)
  b: float32[5, 4] = random(seed=2)
  h = MatMul(x, a) { name: "a" }
  r = Relu(h)
  y = MatMul(r, b) { name: "b" }
}`);
  const context = contextFor(undefined);

  test('is conserved: every layer carries the sum of the outputs', async () => {
    const scores = await synapticFlow(network, new Set(['a', 'b']), context);
    const [first, second] = ['a', 'b'].map((name) => scores.get(name)!.reduce((sum, score) => sum + score, 0));
    expect(first! / second!).toBeCloseTo(1, 5);
    expect(first!).toBeGreaterThan(0);
  });

  test('of a channel is the product of the sizes on the paths through it', async () => {
    const scores = await synapticFlow(network, new Set(['b']), context);
    const [a, b] = findSites(network).map(({ weight }) => constantOf(weight)!);
    const floats = (tensor: typeof a): Float32Array => new Float32Array(tensor!.bytes().slice().buffer);
    for (let unit = 0; unit < 5; unit++) {
      let [incoming, outgoing] = [0, 0];
      for (let i = 0; i < 4; i++) incoming += Math.abs(floats(a)[i * 5 + unit]!);
      for (let o = 0; o < 4; o++) outgoing += Math.abs(floats(b)[unit * 4 + o]!);
      expect(scores.get('b')![unit]! / (incoming * outgoing)).toBeCloseTo(1, 5);
    }
  });

  test('cuts networks without any data', async () => {
    expect(sliceStage.needsCalibration(sliceStage.options.parse({ ratio: 0.3, method: 'synflow' }))).toBe(false);
    const model = await tinyCnn();
    const { findings } = await slice(model, { ratio: { operations: 0.3 }, method: 'synflow' }, contextFor(undefined));
    expect(findings[0]!.text).toMatch(/operations/);
  });

  test('models that take token ids are refused', async () => {
    await expect(slice(await tinyLlama(), { ratio: 0.2, method: 'synflow' }, contextFor(undefined))).rejects.toThrow(
      'synaptic flow needs inputs of numbers',
    );
  });
});
