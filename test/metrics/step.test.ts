import { describe, expect, test } from 'vitest';
import { floatArray } from '../../src/execution/arrays.ts';
import { labelRanks } from '../../src/metrics/ranks.ts';
import { MetricStep, type StepFacts } from '../../src/metrics/step.ts';
import { Random } from '../../src/random.ts';

const softmax = (row: readonly number[]): number[] => {
  const total = row.reduce((sum, score) => sum + Math.exp(score), 0);
  return row.map((score) => Math.exp(score) / total);
};

const classify = async (facts: Partial<StepFacts> & Pick<StepFacts, 'output'>) => {
  const step = new MetricStep({ item: 'sample 0', kind: 'scores', hidden: false, ...facts });
  await step.classify();
  return step.classified;
};

const random = new Random(1, 'rows');
const scores = random.normals(4 * 7, 2);
const reference = random.normals(4 * 7, 2);
const ids = Int32Array.of(3, 0, 6, 2);
const rowOf = (data: Float32Array, row: number): number[] => softmax(Array.from(data.subarray(7 * row, 7 * row + 7)));

describe('scores of a window of tokens', () => {
  test('are those of each next token, by the definition of the softmax', async () => {
    const found = await classify({
      output: floatArray([1, 4, 7], scores),
      reference: floatArray([1, 4, 7], reference),
      tokens: { ids, scored: Uint8Array.of(0, 1, 0, 1) },
    });
    expect(found?.labels).toEqual(Int32Array.of(0, 6, 2));
    for (let row = 0; row < 3; row++) {
      const [p, q] = [rowOf(reference, row), rowOf(scores, row)];
      expect(found?.loss?.[row]).toBeCloseTo(-Math.log(q[ids[row + 1]!]!), 10);
      const nats = p.reduce((sum, chance, index) => sum + chance * Math.log(chance / q[index]!), 0);
      expect(found?.divergence?.[row]).toBeCloseTo(nats, 10);
      expect(found?.agrees?.[row]).toBe(p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q)) ? 1 : 0);
    }
    expect([0, 1, 2].map((row) => found?.counts(row))).toEqual([true, false, true]);
  });

  test('are the same whether given as scores, probabilities or their logarithms', async () => {
    const probabilities = Float32Array.from([0, 1, 2, 3].flatMap((row) => rowOf(scores, row)));
    const logarithms = probabilities.map((chance) => Math.log(chance));
    const tokens = { ids, scored: Uint8Array.of(0, 1, 1, 1) };
    const byScores = await classify({ output: floatArray([1, 4, 7], scores), tokens });
    const others = [
      await classify({ output: floatArray([1, 4, 7], probabilities), kind: 'probabilities', tokens }),
      await classify({ output: floatArray([1, 4, 7], logarithms), kind: 'log-probabilities', tokens }),
    ];
    for (const other of others)
      byScores?.loss?.forEach((nats, row) => {
        expect(other?.loss?.[row]).toBeCloseTo(nats, 5);
      });
  });
});

describe('scores of a labelled sample', () => {
  test('have one row, whatever axes of one follow the classes', async () => {
    const output = floatArray([1, 7, 1, 1], scores.subarray(0, 7));
    const found = await classify({ output, label: 4 });
    expect(found).toMatchObject({ classes: 7, labels: Int32Array.of(4) });
  });

  test('with a label that is no class, or that are not numbers, are refused by name', async () => {
    const output = floatArray([1, 7], scores.subarray(0, 7));
    await expect(classify({ output, label: 7, item: 'sample 5' })).rejects.toMatchObject({
      code: 'data',
      message: expect.stringContaining('sample 5'),
    });
    const broken = floatArray([1, 3], Float32Array.of(1, Number.NaN, 2));
    await expect(classify({ output: broken, label: 0, item: 'sample 6' })).rejects.toMatchObject({
      code: 'numeric',
      message: expect.stringContaining('sample 6'),
    });
  });

  test('of one class are no classification', async () => {
    expect(await classify({ output: floatArray([5, 1], scores.subarray(0, 5)) })).toBeUndefined();
  });
});

describe('ranks of labels', () => {
  test('count what is above, ties by class number', () => {
    const rows = Float32Array.of(1, 1, 1, 0, 0, 3, 2, 1);
    expect(labelRanks(rows, Int32Array.of(2, 1), 4)).toEqual(Int32Array.of(2, 0));
    expect(labelRanks(rows, Int32Array.of(3, 0), 4)).toEqual(Int32Array.of(3, 3));
  });
});
