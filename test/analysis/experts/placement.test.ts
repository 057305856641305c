import { expect, test } from 'vitest';
import {
  fixedPlacement,
  leastRecentlyUsed,
  placeExperts,
  type Residents,
} from '../../../src/analysis/experts/placement.ts';
import { countsOf, evennessOf, frequentSteps, type RoutingTrace } from '../../../src/analysis/experts/routing.ts';
import { Random } from '../../../src/random.ts';

/** A trace of layers with one chosen expert a token. */
const traceOf = (
  ...layers: readonly { readonly experts: number; readonly choices: readonly number[] }[]
): RoutingTrace => ({
  tokens: layers[0]!.choices.length,
  layers: layers.map(({ experts, choices }) => ({ experts, chosen: 1, choices: Uint16Array.from(choices) })),
});

const equalSizes = (trace: RoutingTrace, bytes = 10): number[][] =>
  trace.layers.map(({ experts }) => Array<number>(experts).fill(bytes));

const uniform = (layers: number, experts: number): RoutingTrace =>
  traceOf(
    ...Array.from({ length: layers }, () => ({
      experts,
      choices: Array.from({ length: 40 * experts }, (_, token) => token % experts),
    })),
  );

const held = (residents: Residents): number[][] =>
  residents.map((layer) => layer.flatMap((stays, expert) => (stays ? [expert] : [])));

test.each([0.25, 0.5, 0.75, 1])(
  'of evenly used experts a fast memory for a share of %f of them is hit by that share',
  (share) => {
    const trace = uniform(3, 8);
    const sizes = equalSizes(trace);
    const { residents, bytes } = placeExperts(trace, sizes, { capacityBytes: share * 240, pathShare: 0 });
    const { hitRate, missedBytes } = fixedPlacement(trace, sizes, residents);
    expect(bytes).toBe(share * 240);
    expect(hitRate).toBeCloseTo(share, 12);
    expect(missedBytes).toBeCloseTo((1 - share) * 30, 9);
  },
);

test('the experts called most stay, and no other placement of as many is hit more often', () => {
  const random = new Random(4, 'calls');
  const choices = Array.from({ length: 200 }, () => Math.min(5, Math.floor(Math.abs(random.normal()) * 2)));
  const trace = traceOf({ experts: 6, choices });
  const sizes = equalSizes(trace);
  const found = placeExperts(trace, sizes, { capacityBytes: 30, pathShare: 0 });
  const best = fixedPlacement(trace, sizes, found.residents).hitRate;
  for (let set = 0; set < 64; set++) {
    const residents = [Array.from({ length: 6 }, (_, expert) => Boolean(set & (1 << expert)))];
    if (held(residents)[0]!.length === 3)
      expect(fixedPlacement(trace, sizes, residents).hitRate).toBeLessThanOrEqual(best);
  }
});

test('whole paths first: more tokens find everything there than by calls alone', () => {
  // Tokens go 0 → 0, 1 → 1 or cross over from 2 and 3, whose calls spread in the second layer.
  const first = [...Array<number>(30).fill(0), ...Array<number>(28).fill(1), ...Array<number>(32).fill(2)];
  const second = first.map((expert, token) => (expert === 2 ? 2 + (token % 4) : expert));
  const trace = traceOf({ experts: 3, choices: first }, { experts: 6, choices: second });
  const sizes = equalSizes(trace);
  const wholeTokens = (pathShare: number): number => {
    const { residents, bytes } = placeExperts(trace, sizes, { capacityBytes: 20, pathShare });
    expect(bytes).toBeLessThanOrEqual(20);
    return fixedPlacement(trace, sizes, residents).wholeTokens;
  };
  expect(wholeTokens(1)).toBeCloseTo(30 / 90, 9);
  expect(wholeTokens(0)).toBeLessThan(wholeTokens(1));
});

test('a memory that keeps what was called last follows tokens that come in runs', () => {
  const trace = traceOf({ experts: 4, choices: [...Array<number>(10).fill(0), ...Array<number>(10).fill(3)] });
  const sizes = equalSizes(trace);
  const start = placeExperts(trace, sizes, { capacityBytes: 10, pathShare: 0 });
  expect(held(start.residents)).toEqual([[0]]);
  expect(fixedPlacement(trace, sizes, start.residents).hitRate).toBeCloseTo(0.5, 12);
  const kept = leastRecentlyUsed(trace, sizes, start, 10);
  expect(kept.hitRate).toBeCloseTo(19 / 20, 12);
  expect(kept.missedBytes).toBeCloseTo(10 / 20, 12);
  expect(leastRecentlyUsed(trace, sizes, { residents: [[false, false, false, false]], bytes: 0 }, 5).hitRate).toBe(0);
});

test('experts of different sizes are chosen by calls for their bytes', () => {
  const trace = traceOf({ experts: 3, choices: [0, 0, 0, 1, 1, 2, 2] });
  const { residents } = placeExperts(trace, [[100, 10, 10]], { capacityBytes: 100, pathShare: 0 });
  expect(held(residents)).toEqual([[1, 2]]);
});

test('steps between layers are counted, with how much more frequent they are than by chance', () => {
  const trace = traceOf({ experts: 2, choices: [0, 0, 1, 1] }, { experts: 2, choices: [1, 1, 0, 0] });
  const [one, two] = trace.layers;
  expect(frequentSteps(one!, two!, 4, 2)).toEqual([
    { from: 0, to: 1, share: 0.5, lift: 2 },
    { from: 1, to: 0, share: 0.5, lift: 2 },
  ]);
  expect(countsOf(one!)).toEqual([2, 2]);
  expect(evennessOf(one!)).toBeCloseTo(1, 12);
  expect(evennessOf({ experts: 2, chosen: 1, choices: Uint16Array.of(1, 1) })).toBeCloseTo(0, 12);
});
