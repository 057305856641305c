import { describe, expect, test } from 'vitest';
import type { Dataset, NumericArray } from '../../../../src/calibration/dataset.ts';
import { Random } from '../../../../src/random.ts';
import { modelOf, packedOf, quantize } from './context.ts';

/** Two experts with equal weights; which tokens reach each is an input. */
const experts = () =>
  modelOf(`program opset=17 graph m(x: float32[8, 16], first: int64[a], second: int64[b]) -> (y, z) {
    u: float32[16, 24] = random(seed=1) v: float32[16, 24] = random(seed=1)
    s = Gather(x, first) t = Gather(x, second)
    y = MatMul(s, u) { name: "expert 0", block: "0", role: "expert-gate" }
    z = MatMul(t, v) { name: "expert 1", block: "0", role: "expert-gate" } }`);

/** Samples of eight tokens: those of `first` reach one expert, those of `second` the other. */
const routed = (first: readonly number[], second: readonly number[], samples: number): Dataset => ({
  description: 'routed',
  length: samples,
  fingerprint: JSON.stringify([first, second, samples]),
  sample: (index) => {
    const random = new Random(index, 'tokens');
    const common = random.normal();
    const data = random.normals(8 * 16).map((value, at) => value / (1 + (at % 16)) + common);
    const ids = (list: readonly number[]): NumericArray => ({
      dtype: 'int64',
      shape: [list.length],
      data: BigInt64Array.from(list.map(BigInt)),
    });
    const arrays = new Map<string, NumericArray>([
      ['x', { dtype: 'float32', shape: [8, 16], data }],
      ['first', ids(first)],
      ['second', ids(second)],
    ]);
    return Promise.resolve({ kind: 'arrays', arrays });
  },
});

const all = [0, 1, 2, 3, 4, 5, 6, 7];

describe('experts', () => {
  test.each(['gptq', 'qronos'])(
    '%s: one that no token reaches is rounded for the tokens of its layer',
    async (method) => {
      const options = { method, weights: { bits: 3, group_size: 'row' } };
      const { model, events, findings } = await quantize(experts(), options, { calibration: routed(all, [], 8) });
      const packed = packedOf(model);
      expect(packed.get('v')!.facts.codes).toEqual(packed.get('u')!.facts.codes);
      const counts = events.flatMap((event) =>
        event.type === 'site-finished'
          ? [[event.site, event.facts.tokens, event.facts.output_error !== undefined]]
          : [],
      );
      expect(counts).toEqual([
        ['expert 0', 64, true],
        ['expert 1', 0, true],
      ]);
      expect(findings).toEqual([
        {
          kind: 'warning',
          text: '1 of 2 expert weights saw fewer tokens than they have inputs (least: expert 1, 0): rounded for their layer’s tokens as far as their own are missing',
        },
      ]);
    },
  );

  test('one with many tokens of its own is rounded for these', async () => {
    const options = { method: 'gptq', weights: { bits: 3, group_size: 'row' } };
    const apart = await quantize(experts(), options, { calibration: routed([0, 1, 2, 3], [4, 5, 6, 7], 400) });
    const packed = packedOf(apart.model);
    expect(packed.get('v')!.facts.codes).not.toEqual(packed.get('u')!.facts.codes);
    expect(apart.findings).toEqual([]);
  });
});
