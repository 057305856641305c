import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../../../src/calibration/dataset.ts';
import { readFloats } from '../../../../src/ir/read.ts';
import { constantOf } from '../../../../src/ir/walk.ts';
import { correlatedInputs, modelOf, packedOf, quantize } from './context.ts';

/** One product whose inputs pass a gate that closes the first four channels. */
const gated = () =>
  modelOf(`program opset=17 graph m(x: float32[4, 16]) -> (y) {
    gate: float32[16] = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] w: float32[16, 16] = random(seed=1)
    h = Mul(x, gate) y = MatMul(h, w) { name: "product" } }`);

const inputs = correlatedInputs([4, 16], 12);

describe('what calibration never shows', () => {
  test.each(['gptq', 'gptaq', 'foem', 'qronos', 'curvature'])('%s rounds dead columns to nearest', async (method) => {
    const weights = { bits: 4, group_size: 'row', clip: 'none' };
    const made = await quantize(gated(), { method, weights }, { calibration: inputs });
    const near = await quantize(gated(), { method: 'rtn', weights });
    const [found, nearest] = [packedOf(made.model).get('w')!.facts, packedOf(near.model).get('w')!.facts];
    const codes = (facts: typeof found): number[][] =>
      Array.from({ length: 16 }, (_, row) => [...facts.codes.subarray(row * 8, row * 8 + 2)]);
    if (method !== 'curvature') expect(codes(found)).toEqual(codes(nearest));
    const event = made.events.find(({ type }) => type === 'site-finished');
    expect(event).toMatchObject({ facts: { dead_columns: 4 } });
  });

  test('a product that is never reached is rounded to nearest, and the report says so', async () => {
    const model = () =>
      modelOf(`program opset=17 graph m(x: float32[rows, 16]) -> (y) {
        w: float32[16, 16] = random(seed=1) y = MatMul(x, w) { name: "product" } }`);
    const empty: Dataset = {
      description: 'nothing',
      length: 1,
      fingerprint: 'nothing',
      sample: () =>
        Promise.resolve({
          kind: 'arrays',
          arrays: new Map([['x', { dtype: 'float32', shape: [0, 16], data: new Float32Array() }]]),
        }),
    };
    const weights = { bits: 4, clip: 'none' };
    const made = await quantize(model(), { method: 'qronos', weights }, { calibration: empty });
    const near = await quantize(model(), { method: 'rtn', weights });
    expect(packedOf(made.model).get('w')!.facts.codes).toEqual(packedOf(near.model).get('w')!.facts.codes);
    expect(made.findings).toContainEqual({
      kind: 'fallback',
      site: 'product',
      text: 'no calibration input reached it: rounded to nearest',
    });
  });
});

describe('constants and models that are unlike others', () => {
  test.each(['rtn', 'gptq', 'qronos', 'curvature'])('%s keeps a constant of zeros at zero', async (method) => {
    const model = modelOf(`program opset=17 graph m(x: float32[4, 16]) -> (y) {
      w: float32[16, 8] = zeros y = MatMul(x, w) }`);
    const { model: made } = await quantize(model, { method, weights: { bits: 3 } }, { calibration: inputs });
    expect([...packedOf(made).get('w')!.matrix()].every((value) => value === 0)).toBe(true);
  });

  test.each(['rtn', 'gptq', 'curvature'])(
    '%s leaves a shorter last group where groups do not divide',
    async (method) => {
      const model = modelOf(`program opset=17 graph m(x: float32[4, 16]) -> (y) {
      a: float32[16, 40] = random(seed=1) b: float32[40, 8] = random(seed=2) h = MatMul(x, a) y = MatMul(h, b) }`);
      const weights = { bits: 4, group_size: 16 };
      const { model: made } = await quantize(model, { method, weights }, { calibration: inputs });
      expect(packedOf(made).get('b')!.groups).toBe(3);
    },
  );

  test('a model that is quantized already is refused, kept or rounded again, as the recipe says', async () => {
    const first = await quantize(gated(), { method: 'rtn', weights: { bits: 4 } });
    await expect(quantize(first.model, { method: 'rtn', weights: { bits: 3 } })).rejects.toMatchObject({
      code: 'recipe',
      message: 'the model is quantized already: 1 weights with integers',
    });
    const bitsAfter = async (already: string): Promise<number> => {
      const options = { method: 'rtn', weights: { bits: 3 }, already_quantized: already };
      return packedOf((await quantize(first.model, options)).model).get('w')!.facts.bits;
    };
    expect(await bitsAfter('keep')).toBe(4);
    expect(await bitsAfter('again')).toBe(3);
  });

  test('integer operators of another tool are recognised', async () => {
    const model = () =>
      modelOf(`program opset=21 graph m(x: float32[4, 16]) -> (y) {
        q: int8[16, 16] = zeros s: float32[] = 0.1 w: float32[16, 16] = random(seed=1)
        d = DequantizeLinear(q, s) h = MatMul(x, d) y = MatMul(h, w) { name: "plain" } }`);
    await expect(quantize(model(), { method: 'rtn' })).rejects.toMatchObject({
      message: 'the model is quantized already: 1 DequantizeLinear',
    });
    const kept = await quantize(model(), { method: 'rtn', already_quantized: 'keep' });
    expect([...packedOf(kept.model).keys()]).toEqual(['w']);
  });

  test('weights that would take more bytes than before are reported', async () => {
    const model = modelOf(`program opset=17 graph m(x: float32[4, 3]) -> (y) {
      w: float16[3, 8] = random(seed=1) h = Cast(x, to=10) y = MatMul(h, w) { name: "narrow" } }`);
    const { findings } = await quantize(model, { method: 'rtn', weights: { bits: 8 } });
    expect(findings.map(({ kind, text }) => [kind, text])).toContainEqual([
      'warning',
      'narrow would take 64 bytes instead of 48: scales and zero points outweigh what its integers save',
    ]);
  });

  test('the constant itself is untouched in the model that was given', async () => {
    const model = gated();
    const weight = [...model.program.graph.initializers].find(({ name }) => name === 'w')!;
    const before = [...readFloats(constantOf(weight)!)];
    await quantize(model, { method: 'gptq', weights: { bits: 2 } }, { calibration: inputs });
    expect([...readFloats(constantOf(weight)!)]).toEqual(before);
  });
});
