import { describe, expect, test } from 'vitest';
import { WeightCosts } from '../../../src/curvature/removal/costs.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { allocateStructure } from '../../../src/stages/auto/allocate.ts';
import type { EditChoice } from '../../../src/stages/auto/site-choice.ts';
import type { Survey } from '../../../src/stages/auto/structure.ts';

const program = parseProgram(`program opset=21
graph main(x: float32[batch, 10]) -> (y: float32[batch, 10]) {
  a: float32[10, 10] = random(seed=1)
  b: float32[10, 10] = random(seed=2)
  c: float32[10, 10] = random(seed=3)
  h = MatMul(x, a)
  i = MatMul(h, b)
  y = MatMul(i, c)
}`);

/** Options as pairs of parameters and loss, the first dense. */
const choice = (name: string, sites: readonly string[], kind: string, pairs: readonly (readonly [number, number])[]) =>
  ({
    name,
    sites,
    options: pairs.map(([parameters, loss], index) => ({
      kind: index === 0 ? 'dense' : kind,
      label: `${name} ${parameters}`,
      cost: { bytes: 4 * parameters, parameters, operations: parameters },
      loss,
      data: index === 0 ? [] : [{ kind: 'form' as const, site: name, write: () => undefined }],
    })),
  }) satisfies EditChoice;

const alone = ['a', 'b', 'c'].map((name) =>
  choice(name, [name], 'low-rank', [
    [100, 0],
    [60, 1],
    [30, 4],
  ]),
);

const surveyWith = (sharing: readonly EditChoice[]): Survey => ({
  parts: alone.map((one) => ({ choice: one, sites: [one] })),
  sharing,
  costs: new WeightCosts(program, 'all'),
  findings: [],
  apply: async () => new Map(),
});

const limit = (most: number) => ({ kind: 'cost', measure: 'parameters', most }) as const;

describe('one allocation with groups of layers that may share', () => {
  const group = (loss: number, sites = ['a', 'b']): EditChoice =>
    choice(sites.join('+'), sites, 'sharing', [
      [100 * sites.length, 0],
      [80, loss],
    ]);

  test('a group is taken where sharing loses less than what its sites would lose by themselves', () => {
    const plain = allocateStructure(surveyWith([]), limit(180));
    expect(plain.loss).toBe(3);
    const shared = allocateStructure(surveyWith([group(0.5)]), limit(180));
    expect(shared.picks.map(({ label }) => label)).toEqual(['c 100', 'a+b 80']);
    expect(shared.loss).toBe(0.5);
  });

  test('and not where it loses more', () => {
    const found = allocateStructure(surveyWith([group(3.5)]), limit(180));
    expect(found.picks.map(({ kind }) => kind)).toEqual(['low-rank', 'low-rank', 'low-rank']);
  });

  test('of groups that overlap one at most is taken', () => {
    const found = allocateStructure(surveyWith([group(0.5), group(0.2, ['b', 'c'])]), limit(180));
    expect(found.picks.filter(({ kind }) => kind === 'sharing')).toHaveLength(1);
  });

  test('a budget that only sharing can meet is met', () => {
    expect(() => allocateStructure(surveyWith([]), limit(89))).toThrow('cannot be met');
    const all = choice('all', ['a', 'b', 'c'], 'sharing', [
      [300, 0],
      [50, 9],
    ]);
    expect(allocateStructure(surveyWith([all]), limit(89)).loss).toBe(9);
  });

  test('within a predicted loss the least that is left counts', () => {
    const found = allocateStructure(surveyWith([group(0.5)]), { kind: 'loss', measure: 'parameters', most: 1.6 });
    expect(found.cost.parameters).toBe(140);
  });
});
