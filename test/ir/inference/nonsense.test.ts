import { describe, expect, it } from 'vitest';
import { CompressError } from '../../../src/errors.ts';
import { canonicalDim, multiplyDims, productOfDims } from '../../../src/ir/dimension.ts';
import { foldConstants } from '../../../src/ir/edit/fold-constants.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { Random } from '../../../src/random.ts';
import { cases } from './cases.ts';

/** Statements with some of the numbers behind their '=' replaced by others; generated constants stay. */
const scrambled = (body: string, random: Random): string =>
  body.replaceAll(/(?<== ).*$/gm, (right) =>
    /^(?:random|integers|ones|zeros)/.test(right)
      ? right
      : right.replaceAll(/(?<=[[=, ]|^)-?\d+(?=[\],)\s]|$)/g, (number) =>
          random.integer(12) === 0 ? String([-9, -2, -1, 0, 1, 2, 3, 7, 1e9, 2 ** 40][random.integer(10)]) : number,
        ),
  );

const parsed = (text: string): Program | undefined => {
  try {
    return parseProgram(text);
  } catch (error) {
    if (error instanceof CompressError) return undefined;
    throw error;
  }
};

/** Attributes and constants that make no sense are problems in the report, never crashes or endless shapes. */
describe('inference of nonsense', () => {
  it('reports and goes on', () => {
    const random = new Random(22);
    let problems = 0;
    let programs = 0;
    for (let round = 0; round < 12; round++)
      for (const { versions, header, body, functions = '' } of cases) {
        const program = parsed(`program ${versions}\ngraph g${header} {${scrambled(body, random)}\n}\n${functions}\n`);
        if (!program) continue;
        programs++;
        problems += inferShapes(program).problems.length;
        foldConstants(program);
      }
    expect(programs).toBeGreaterThan(150);
    expect(problems).toBeGreaterThan(40);
  });

  it('names of dimensions that are bombs are just names', () => {
    expect(canonicalDim('('.repeat(100_000))).toBe(`'${'('.repeat(100_000)}'`);
    const sum = Array.from({ length: 40 }, (_, index) => `a${index}`).join('+');
    expect(canonicalDim(`(${sum})*(${sum})*(${sum})*(${sum})`)).toMatch(/^'/);
    const wide = Array.from({ length: 200 }, (_, index) => `b${index}`).join('+');
    expect(multiplyDims(wide, sum)).toBeNull();
    expect(productOfDims([wide, wide, wide])).toBeNull();
  });
});
