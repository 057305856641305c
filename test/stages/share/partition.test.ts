import { describe, expect, test } from 'vitest';
import type { CompressionOption } from '../../../src/curvature/options.ts';
import { Random } from '../../../src/random.ts';
import { type LayerRun, partitionFront } from '../../../src/stages/share/partition.ts';

const option = (parameters: number, loss: number, data: string): CompressionOption<string> => ({
  kind: 'sharing',
  label: data,
  cost: { bytes: 4 * parameters, parameters, operations: parameters },
  loss,
  data,
});

/** Runs of up to three of `count` layers, with a few options each. */
const scene = (count: number): LayerRun<string>[] => {
  const random = new Random(7, 'runs');
  const runs: LayerRun<string>[] = [];
  for (let first = 0; first < count; first++)
    for (let end = first + 1; end <= Math.min(count, first + 3); end++)
      runs.push({
        first,
        end,
        options: Array.from({ length: 3 }, (_, index) =>
          option((index + 1) * (end - first + 1), random.float() / (index + 1), `${first}-${end}:${index}`),
        ),
      });
  return runs;
};

/** Every way of cutting `count` layers into runs with one option each. */
const everyCut = (count: number, runs: readonly LayerRun<string>[], from = 0): CompressionOption<string>[][] =>
  from === count
    ? [[]]
    : runs
        .filter(({ first }) => first === from)
        .flatMap(({ end, options }) =>
          options.flatMap((one) => everyCut(count, runs, end).map((rest) => [one, ...rest])),
        );

const sumOf = (options: readonly CompressionOption<string>[]): { cost: number; loss: number } => ({
  cost: options.reduce((sum, { cost }) => sum + cost.parameters, 0),
  loss: options.reduce((sum, { loss }) => sum + loss, 0),
});

describe('the front of cuts', () => {
  const runs = scene(5);
  const front = partitionFront(5, runs, 'parameters');
  const all = everyCut(5, runs).map(sumOf);

  test('has what is worth most at every price', () => {
    expect(front.length).toBeGreaterThan(2);
    for (const price of [0.001, 0.01, 0.03, 0.1, 0.3, 1]) {
      const worth = ({ cost, loss }: { cost: number; loss: number }): number => loss + price * cost;
      const best = Math.min(...front.map(({ cost, loss }) => worth({ cost: cost.parameters, loss })));
      expect(best).toBeCloseTo(Math.min(...all.map(worth)), 12);
    }
  });

  test('loses less the more it costs', () => {
    for (let at = 1; at < front.length; at++) {
      expect(front[at]!.cost.parameters).toBeGreaterThan(front[at - 1]!.cost.parameters);
      expect(front[at]!.loss).toBeLessThan(front[at - 1]!.loss);
    }
  });

  test('begins with the cheapest cut and ends with the one that loses least', () => {
    const [cheapest, best] = [front[0]!, front.at(-1)!];
    expect(cheapest.cost.parameters).toBe(Math.min(...all.map(({ cost }) => cost)));
    expect(best.loss).toBeCloseTo(Math.min(...all.map(({ loss }) => loss)), 12);
  });

  test('every layer belongs to exactly one run', () => {
    for (const { data } of front) {
      const covered = data.flatMap((name) => {
        const [first, end] = name.split(':')[0]!.split('-').map(Number);
        return Array.from({ length: end! - first! }, (_, index) => first! + index);
      });
      expect(covered).toEqual([0, 1, 2, 3, 4]);
    }
  });
});

test('where the runs leave a layer out there is no cut', () => {
  const runs = scene(4).filter(({ first, end }) => !(first <= 2 && end > 2));
  expect(partitionFront(4, runs, 'parameters')).toEqual([]);
});
