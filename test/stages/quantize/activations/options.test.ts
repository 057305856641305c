import { describe, expect, test } from 'vitest';
import { activationsInput, normaliseActivations } from '../../../../src/stages/quantize/activations/options.ts';

const parse = (input: unknown) => normaliseActivations(activationsInput.parse(input));

test('an object without a mode is static', () => {
  expect(parse({ bits: 8, ranges: 'minmax', sym: false })).toEqual(parse('static'));
});

test('the words stand for the defaults', () => {
  expect(parse('none')).toEqual({ mode: 'none' });
  expect(parse('static')).toMatchObject({ mode: 'static', type: 'uint8', weightType: 'uint8', symmetric: false });
  expect(parse('dynamic')).toMatchObject({ mode: 'dynamic', weightType: 'uint8', leastSnrDb: 20 });
});

test('symmetric is another word for sym', () => {
  expect(parse({ symmetric: true })).toEqual(parse({ sym: true }));
});

test('int8 activations take int8 weights', () => {
  expect(parse({ type: 'int8' })).toMatchObject({ type: 'int8', weightType: 'int8' });
});

test('a percentile can be named with its share', () => {
  expect(parse({ ranges: { percentile: 99.9 } })).toMatchObject({ ranges: { method: 'percentile', percentile: 99.9 } });
  expect(parse({ ranges: 'percentile' })).toMatchObject({ ranges: { method: 'percentile', percentile: 99.999 } });
});

describe('refused are', () => {
  test.each([
    ['an unknown key', { mode: 'static', range: 'minmax' }],
    ['sym beside its alias', { sym: true, symmetric: true }],
    ['signed activations with unsigned weights', { type: 'int8', weight_type: 'uint8' }],
    ['other bits', { bits: 4 }],
    ['a percentile below the middle', { ranges: { percentile: 30 } }],
    ['keys of the other mode', { mode: 'dynamic', ranges: 'minmax' }],
  ])('%s', (_, input) => {
    expect(activationsInput.safeParse(input).success).toBe(false);
  });
});
