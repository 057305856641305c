import { describe, expect, it } from 'vitest';
import { distillStage } from '../../../src/stages/distill/index.ts';

const parse = (written: unknown) => distillStage.options.safeParse(written);
const read = (written: unknown) => {
  const parsed = parse(written);
  if (!parsed.success) throw new Error(parsed.error.issues.map(({ message }) => message).join('\n'));
  return parsed.data;
};

describe('options of distill', () => {
  it('learn the distribution of the recipe’s own model when nothing is said', () => {
    expect(read({})).toMatchObject({
      teachers: [{ path: 'input', weight: 1 }],
      distributions: [{ name: 'forward-kl', weight: 1 }],
      budget: { kind: 'steps', steps: 300 },
      learningRate: 'auto',
      hidden: undefined,
      adapters: undefined,
    });
  });

  it('fill in the usual mixture of a loss, and take another one', () => {
    const { distributions } = read({ losses: { 'skewed-forward-kl': 2, 'jensen-shannon': { mixture: 0.9 } } });
    expect(distributions).toEqual([
      { name: 'skewed-forward-kl', weight: 2, mixture: 0.1 },
      { name: 'jensen-shannon', weight: 1, mixture: 0.9 },
    ]);
  });

  it('compare features alone when only they are asked for', () => {
    const { distributions, features } = read({ losses: { features: [{ student: 'last_hidden_state' }] } });
    expect(distributions).toEqual([]);
    expect(features).toEqual([{ student: 'last_hidden_state', teacher: 'last_hidden_state', weight: 1, loss: 'mse' }]);
  });

  it('name the models that are to be opened', () => {
    const options = read({ teacher: ['input', { path: 'big', weight: 2 }, 'other'] });
    expect(distillStage.references?.(options)).toEqual(['big', 'other']);
  });

  it.each([
    [{ stpes: 3 }],
    [{ steps: 3, tokens: 100 }],
    [{ losses: { 'forward-kl': -1 } }],
    [{ losses: { 'foward-kl': 1 } }],
    [{ layers: [] }],
    [{ teacher: [] }],
    [{ hold_out: 0.9 }],
    [{ learning_rate: 0 }],
    [{ adapters: { rank: 0 } }],
  ])('refuse %j', (written) => {
    expect(parse(written).success).toBe(false);
  });

  it.each([
    [{ layers: [0], student: {} }, /keep one of them/],
    [{ on_policy: {}, losses: { 'cross-entropy': 1 } }, /no labels/],
    [{ integers: 'fixed', scales: 'fixed' }, /leave "scales" and "zeros" out/],
    [{ integers: 'fixed', zeros: 'learned' }, /leave "scales" and "zeros" out/],
    [{ student: { config: {}, seed: 1 } }, /seed/],
  ])('that contradict each other are refused: %j', (written, expected) => {
    const parsed = parse(written);
    expect(parsed.success).toBe(false);
    expect(parsed.error?.issues.map(({ message }) => message).join()).toMatch(expected);
  });

  it('map layers of attention and relations, the last ones by default', () => {
    const { attention, relations } = read({ losses: { attention: { weight: 2, layers: { 0: 3 } }, relations: 1 } });
    expect(attention).toEqual({ weight: 2, layers: [[0, 3]] });
    expect(relations).toEqual({ weight: 1, layers: undefined });
  });
});
