import { describe, expect, test } from 'vitest';
import type { Model } from '../../../../src/ir/model.ts';
import { runProgram } from '../../../artifact/lower/run.ts';
import { correlatedInputs, modelOf, packedOf, quantize } from './context.ts';

const inputs = correlatedInputs([12, 4, 10], 16);

const layer = (op: 'LSTM' | 'GRU', directions: 1 | 2, layout: 0 | 1): Model => {
  const gates = op === 'LSTM' ? 4 : 3;
  const direction = directions === 2 ? 'bidirectional' : 'forward';
  return modelOf(`program opset=14 graph m(x: float32[12, 4, 10]) -> (y) {
    w: float32[${directions}, ${gates * 16}, 10] = random(seed=1, scale=0.4)
    r: float32[${directions}, ${gates * 16}, 16] = random(seed=2, scale=0.4)
    y = ${op}(x, w, r, hidden_size=16, direction="${direction}", layout=${layout}) { name: "cell" } }`);
};

const outputError = async (a: Model, b: Model): Promise<number> => {
  const held = correlatedInputs([12, 4, 10], 24);
  let sum = 0;
  for (let index = 16; index < 24; index++) {
    const sample = await held.sample(index);
    if (sample.kind !== 'arrays') throw new Error('arrays expected');
    const feeds = { x: sample.arrays.get('')! };
    const [one, other] = [await runProgram(a.program, feeds), await runProgram(b.program, feeds)];
    const [left, right] = [one.get('y')!.data as Float32Array, other.get('y')!.data as Float32Array];
    left.forEach((value, at) => {
      sum += (value - right[at]!) ** 2;
    });
  }
  return sum;
};

describe('recurrent layers', () => {
  test.each([
    ['LSTM', 1],
    ['LSTM', 2],
    ['GRU', 1],
    ['GRU', 2],
  ] as const)('both weights of a %s with %i directions are rounded for what they see', async (op, directions) => {
    const model = layer(op, directions, 0);
    const weights = { bits: 3, group_size: 'row' };
    const near = await quantize(model, { method: 'rtn', weights });
    const far = await outputError(model, near.model);
    for (const method of ['gptq', 'qronos', 'auto']) {
      const made = await quantize(model, { method, weights }, { calibration: inputs });
      expect([...packedOf(made.model).values()].map(({ facts }) => facts.method)).not.toContain('rtn');
      expect(await outputError(model, made.model), method).toBeLessThan(far);
    }
  });

  test('the recurrent weight is rounded to nearest where the states are not in the graph', async () => {
    const model = modelOf(`program opset=14 graph m(x: float32[12, 4, 10]) -> (h) {
      w: float32[1, 64, 10] = random(seed=1) r: float32[1, 64, 16] = random(seed=2)
      _, h = LSTM(x, w, r, hidden_size=16) { name: "cell" } }`);
    const { model: made, findings } = await quantize(model, { method: 'gptq' }, { calibration: inputs });
    expect([...packedOf(made)].map(([name, { facts }]) => [name, facts.method])).toEqual([
      ['w', 'gptq'],
      ['r', 'rtn'],
    ]);
    expect(findings.map(({ kind, text }) => [kind, text])).toContainEqual([
      'fallback',
      'rounded to nearest instead of by gptq: its inputs are the states of the layer, of which the graph only gives the last',
    ]);
  });
});
