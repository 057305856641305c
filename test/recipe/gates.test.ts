import { describe, expect, test } from 'vitest';
import type { MetricResult } from '../../src/recipe/events.ts';
import { type Bounds, boundsSchema, type GateVerdict, judgeGates } from '../../src/recipe/gates.ts';

const result = (metric: string, value: number, dataset = 'd'): MetricResult => ({ metric, dataset, value, count: 10 });

const judge = (written: unknown, before: number | undefined, after: number): ReturnType<typeof judgeGates> =>
  judgeGates(
    [{ metric: 'perplexity', bounds: boundsSchema.parse(written), where: { file: 'r.yaml', line: 1, column: 1 } }],
    before === undefined ? [] : [result('perplexity', before)],
    [{ format: 'onnx', result: result('perplexity', after) }],
  );

const passed = (written: unknown, before: number, after: number): boolean =>
  judge(written, before, after).verdicts.every((verdict: GateVerdict) => verdict.passed);

describe('gates', () => {
  test('a percentage is relative to the value before, a number is not', () => {
    expect(passed({ increase: '2%' }, 5, 5.1)).toBe(true);
    expect(passed({ increase: '2%' }, 5, 5.1001)).toBe(false);
    expect(passed({ increase: 0.2 }, 5, 5.2)).toBe(true);
    expect(passed({ drop: '1%' }, 0.8, 0.792)).toBe(true);
    expect(passed({ drop: 0.01 }, 0.8, 0.789)).toBe(false);
  });

  test('a value exactly at the limit passes, whatever the rounding of the comparison', () => {
    expect(passed({ increase: '10%' }, 0.1 + 0.2, (0.1 + 0.2) * 1.1)).toBe(true);
    expect(passed({ ratio: 0.3 }, 10, 3)).toBe(true);
  });

  test('absolute limits need no value before', () => {
    expect(judge({ max: 6 }, undefined, 5.9).verdicts.map((verdict) => verdict.passed)).toEqual([true]);
    expect(judge({ min: 6 }, undefined, 5.9).verdicts.map((verdict) => verdict.passed)).toEqual([false]);
  });

  test('a value that is not a number passes nothing', () => {
    expect(passed({ max: 6 }, 5, Number.NaN)).toBe(false);
    expect(passed({ min: 6 }, 5, Number.NaN)).toBe(false);
    expect(passed({ increase: '2%' }, Number.NaN, 5)).toBe(false);
  });

  test('several bounds are judged one by one', () => {
    expect(judge({ max: 6, increase: '1%' }, 5, 5.5).verdicts.map(({ gate, passed }) => [gate, passed])).toEqual([
      ['perplexity max 6', true],
      ['perplexity increase 1%', false],
    ]);
  });

  test('a gate that nothing was measured for is not passed in silence', () => {
    const { verdicts, unmeasured } = judge({ max: 6, dataset: 'other' }, 5, 5);
    expect(verdicts).toEqual([]);
    expect(unmeasured).toHaveLength(1);
    expect(judge({ increase: '2%' }, undefined, 5).unmeasured).toHaveLength(1);
  });

  test('bounds select data and format', () => {
    const bounds: Bounds = boundsSchema.parse({ max: 1, format: 'onnx-qdq' });
    const after = ['onnx', 'onnx-qdq'].map((format) => ({ format, result: result('kl', 2) }));
    expect(
      judgeGates([{ metric: 'kl', bounds, where: {} }], [], after).verdicts.map((verdict) => verdict.format),
    ).toEqual(['onnx-qdq']);
  });

  test('sizes may be written with units; nonsense is refused', () => {
    expect(boundsSchema.parse({ max: '500 kB' })).toMatchObject({ max: 500_000 });
    expect(boundsSchema.safeParse({ increase: 'two' }).success).toBe(false);
    expect(boundsSchema.safeParse({ increase: '-2%' }).success).toBe(false);
    expect(boundsSchema.safeParse({}).success).toBe(false);
    expect(boundsSchema.safeParse({ dataset: 'd' }).success).toBe(false);
  });
});
