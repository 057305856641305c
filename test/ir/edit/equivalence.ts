import { expect } from 'vitest';
import { evaluateDim } from '../../../src/ir/dimension.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { largestDifference, randomFeeds, runProgram } from '../run.ts';

export interface Edited<Result> {
  readonly program: Program;
  readonly result: Result;
  /** Operators of the main graph after the edit, Constants left out. */
  readonly ops: readonly string[];
}

/**
 * The theorem of every edit: the program stays sound, keeps the names of its inputs and outputs, and computes the same.
 * @param tolerance largest absolute difference; 0 for edits that move elements only.
 */
export const expectSameOutputs = async <Result>(
  text: string,
  edit: (program: Program) => Result,
  given: { readonly sizes?: Readonly<Record<string, number>>; readonly tolerance?: number } = {},
): Promise<Edited<Result>> => {
  const before = parseProgram(text);
  const program = parseProgram(text);
  expect(verify(before)).toEqual([]);
  const result = edit(program);
  expect(verify(program)).toEqual([]);
  const names = (of: Program): string[][] => [
    of.graph.inputs.filter((value) => !value.tensor).map((value) => value.name),
    of.graph.outputs.map((value) => value.name),
  ];
  expect(names(program)).toEqual(names(before));
  const symbols = new Map(Object.entries(given.sizes ?? { n: 2, s: 5 }));
  const shapes = Object.fromEntries(
    before.graph.inputs.map((value) => [
      value.name,
      (value.type?.kind === 'tensor' ? (value.type.shape ?? []) : []).map((dim) => evaluateDim(dim, symbols) ?? 1),
    ]),
  );
  const feeds = randomFeeds(before, shapes);
  const expected = await runProgram(before, feeds);
  const found = await runProgram(program, feeds);
  for (const [name, array] of expected)
    expect([name, largestDifference(array, found.get(name))]).toEqual([
      name,
      expect.toSatisfy((difference: number) => difference <= (given.tolerance ?? 0)),
    ]);
  const ops = program.graph.nodes.map((node) => node.op).filter((op) => op !== 'Constant');
  return { program, result, ops };
};
