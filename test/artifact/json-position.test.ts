import { describe, expect, it } from 'vitest';
import { findJsonError, positionOf } from '../../src/artifact/json-position.ts';

describe('findJsonError', () => {
  it('agrees with JSON.parse about what is JSON', () => {
    const wellFormed = [
      '{}',
      '[]',
      ' {"a": [1, -2.5e+3, true, null, "x\\u00e9\\n"]} ',
      '"é"',
      '0',
      '[[],{}]',
      '{"a":{"b":[]}}',
    ];
    for (const source of wellFormed) {
      expect(() => JSON.parse(source)).not.toThrow();
      expect(findJsonError(source), source).toBeUndefined();
    }
  });

  it('finds the first character that does not belong', () => {
    const cases: [string, number][] = [
      ['', 0],
      ['{"a": 1,}', 8],
      ['[1, 2,]', 6],
      ['{"a" 1}', 5],
      ['{a: 1}', 1],
      ["{'a': 1}", 1],
      ['[1 2]', 3],
      ['{} {}', 3],
      ['[1, 2', 5],
      ['"no end', 7],
      ['"bad \\x escape"', 5],
      ['[01]', 2],
      ['nul', 0],
      ['{"a": NaN}', 6],
      ['["a\nb"]', 3],
    ];
    for (const [source, offset] of cases) {
      expect(() => JSON.parse(source)).toThrow();
      expect(findJsonError(source), source).toBe(offset);
    }
  });

  it('takes deep nesting and long texts', () => {
    expect(findJsonError('['.repeat(100_000))).toBe(100_000);
    expect(findJsonError(`"${'a'.repeat(3_000_000)}`)).toBe(3_000_001);
  });
});

describe('positionOf', () => {
  it('counts lines and columns from one', () => {
    expect(positionOf('ab\ncd', 0)).toEqual({ line: 1, column: 1 });
    expect(positionOf('ab\ncd', 4)).toEqual({ line: 2, column: 2 });
  });
});
