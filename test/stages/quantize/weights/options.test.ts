import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { quantizeOptions } from '../../../../src/stages/quantize/options.ts';

const problems = (input: unknown): string[] => {
  const parsed = quantizeOptions.safeParse(input);
  return parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
};

describe('options of the quantize stage', () => {
  test('an empty request means 4 bits in groups of 32 with zero points, on every site', () => {
    expect(quantizeOptions.parse({})).toEqual({
      kind: 'weights',
      method: 'auto',
      weights: { bits: 4, groupSize: 32, grid: 'asymmetric', clip: 'usual' },
      targets: ['*'],
      ignore: [],
      overrides: [],
      settings: { damp: undefined, actOrder: true, magr: 0 },
      sequential: 'site',
      rotate: false,
      already: 'refuse',
    });
  });

  test('words of other tools mean the same', () => {
    const ours = quantizeOptions.parse({ weights: { group_size: 'row', sym: true }, damp: 0.1, act_order: false });
    const theirs = [
      { weights: { block_size: -1, symmetric: true }, damp_percent: 0.1, desc_act: false },
      { weights: { group_size: -1, sym: true }, dampening_frac: 0.1, actorder: false },
    ];
    for (const input of theirs) expect(quantizeOptions.parse(input)).toEqual(ours);
  });

  test('naming a key and its alias together is a problem at the alias', () => {
    expect(problems({ weights: { group_size: 32, block_size: 32 } })).toEqual([
      'weights.block_size: "block_size" is an alias of "group_size": keep one of them',
    ]);
    expect(problems({ overrides: [{ match: 'a' }, { match: 'b', weights: { sym: true, symmetric: true } }] })).toEqual([
      'overrides.1.weights.symmetric: "symmetric" is an alias of "sym": keep one of them',
    ]);
  });

  test('unknown keys and impossible widths are refused', () => {
    expect(problems({ weights: { bits: 5 } })).toHaveLength(1);
    expect(problems({ weights: { group_size: 8 } })).not.toEqual([]);
    expect(problems({ weight: {} })).toHaveLength(1);
    expect(problems({ overrides: [{ weights: { bits: 8 } }] })).toHaveLength(1);
  });

  test('a conversion of the floating-point type stands alone', () => {
    expect(quantizeOptions.parse({ precision: 'float16', keep: ['op:Softmax'] })).toMatchObject({
      kind: 'precision',
      precision: 'float16',
      keep: ['op:Softmax'],
    });
    expect(problems({ precision: 'float16', weights: { bits: 4 } })).toEqual([
      'weights: "weights" has no meaning together with "precision"; use a stage of its own',
    ]);
    expect(problems({ keep: ['a'] })).toEqual(['keep: "keep" has a meaning only together with "precision"']);
  });

  test('quantized activations bring their own weights', () => {
    expect(quantizeOptions.parse({ activations: 'dynamic', ignore: ['op:Conv'] })).toMatchObject({
      kind: 'dynamic',
      ignore: ['op:Conv'],
    });
    expect(quantizeOptions.parse({ activations: { bits: 8 }, weights: { bits: 8 } })).toMatchObject({ kind: 'static' });
    expect(problems({ activations: 'dynamic', weights: { bits: 4 } })).toHaveLength(1);
  });

  test('the schema for editors describes every key', () => {
    const schema = z.toJSONSchema(quantizeOptions, { io: 'input' }) as { properties: Record<string, object> };
    for (const [key, property] of Object.entries(schema.properties))
      expect(property, key).toHaveProperty('description');
  });
});
