import { expect, test } from 'vitest';
import { findBlocks } from '../../src/analysis/blocks.ts';
import { joinedBlocks } from '../../src/analysis/joined-blocks.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';

const program = parseProgram(`program opset=21
graph main(x: float32[batch, 8]) -> (y: float32[batch, 8]) {
  a: float32[8, 8] = random(seed=1)
  b: float32[8, 8] = random(seed=2)
  c: float32[8, 8] = random(seed=3)
  d: float32[8, 8] = random(seed=4)
  h = MatMul(x, a)
  i = MatMul(h, b)
  j = MatMul(i, c)
  y = MatMul(j, d)
}`);
const nodes = program.graph.nodes;
const shown = (pairs: number[][]): string[] =>
  joinedBlocks(
    program,
    pairs.map((pair) => pair.map((at) => nodes[at]!)),
  ).map(({ sites }) => sites.map(({ weight }) => weight.name).join(''));

test('blocks are joined where nodes that belong together lie in several of them', () => {
  expect(findBlocks(program)).toHaveLength(4);
  expect(shown([])).toEqual(['a', 'b', 'c', 'd']);
  expect(shown([[1, 2]])).toEqual(['a', 'bc', 'd']);
  expect(
    shown([
      [0, 1],
      [1, 3],
    ]),
  ).toEqual(['abcd']);
  expect(
    shown([
      [2, 3],
      [0, 1],
    ]),
  ).toEqual(['ab', 'cd']);
});

test('joined blocks read and give what crosses their borders, in their own order', () => {
  const [first, second, third] = joinedBlocks(program, [[nodes[1]!, nodes[2]!]]);
  expect([first, second, third].map((block) => block!.index)).toEqual([0, 1, 2]);
  expect(second!.inputs.map(({ name }) => name)).toEqual(['h']);
  expect(second!.outputs.map(({ name }) => name)).toEqual(['j']);
});
