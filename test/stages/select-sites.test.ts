import { describe, expect, test } from 'vitest';
import type { CompressError } from '../../src/errors.ts';
import { compileSelector, findUnmatched, type Selectable } from '../../src/stages/select-sites.ts';

const site = (name: string, op = 'MatMul', role?: string, weight = `${name}.weight`): Selectable => ({
  name,
  op,
  role,
  weight: { name: weight },
});

const sites = [
  site('model.embed_tokens', 'Gather', 'embedding'),
  site('model.layers.0.self_attn.q_proj', 'MatMul', 'q'),
  site('model.layers.0.mlp.down_proj', 'MatMul', 'down'),
  site('/conv1/Conv', 'Conv', undefined, 'conv1.w'),
  site('lm_head', 'MatMul', 'head'),
];

const matching = (pattern: string): string[] => {
  const selector = compileSelector(pattern);
  return sites.filter((candidate) => selector.matches(candidate)).map(({ name }) => name);
};

describe('patterns of sites', () => {
  test('a star takes everything, slashes and leading dots included', () => {
    expect(matching('*')).toHaveLength(sites.length);
    expect(matching('**')).toHaveLength(sites.length);
    expect(matching('*_proj')).toEqual(['model.layers.0.self_attn.q_proj', 'model.layers.0.mlp.down_proj']);
    expect(matching('/conv*')).toEqual(['/conv1/Conv']);
  });

  test('exact names match sites and weights, and nothing longer', () => {
    expect(matching('lm_head')).toEqual(['lm_head']);
    expect(matching('conv1.w')).toEqual(['/conv1/Conv']);
    expect(matching('lm')).toEqual([]);
  });

  test('re:, op: and role: mean what they say', () => {
    expect(matching('re:layers\\.\\d+\\.mlp')).toEqual(['model.layers.0.mlp.down_proj']);
    expect(matching('op:Gather')).toEqual(['model.embed_tokens']);
    expect(matching('role:q')).toEqual(['model.layers.0.self_attn.q_proj']);
  });

  test('a broken regular expression is the recipe’s fault', () => {
    expect(() => compileSelector('re:(')).toThrow(expect.objectContaining<Partial<CompressError>>({ code: 'recipe' }));
  });

  test('a pattern that matches nothing is reported with the nearest names', () => {
    const selectors = ['lm_haed', 'op:Conf', 'q_proj', 'lm_head'].map(compileSelector);
    const texts = findUnmatched('ignore', selectors, sites).map(({ text }) => text);
    expect(texts).toHaveLength(3);
    expect(texts[0]).toMatch(/ignore "lm_haed" matches nothing; the nearest names are lm_head/);
    expect(texts[1]).toMatch(/nearest names are Conv/);
    expect(texts[2]).toMatch(/nearest names are model\.layers\.0\.self_attn\.q_proj/);
  });
});
