import { expect, test } from 'vitest';
import { findSites } from '../../../src/analysis/sites.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { mergeProducts } from '../../../src/stages/factorize/merge-products.ts';
import { largestDifference, randomFeeds, runProgram } from '../../ir/run.ts';

const program = parseProgram(`program opset=21
graph main(x: float32[batch, 16]) -> (y: float32[batch, 12], z: float32[batch, 6]) {
  a: float32[16, 14] = random(seed=1)
  b: float32[14, 12] = random(seed=2)
  bias: float32[12] = random(seed=3)
  c: float32[12, 4] = random(seed=4)
  d: float32[4, 12] = random(seed=5)
  e: float32[12, 6] = random(seed=6)
  h = MatMul(x, a)
  g = Gemm(h, b, bias)
  r = Relu(g)
  i = MatMul(r, c)
  j = MatMul(i, d)
  y = Tanh(j)
  k = MatMul(y, e)
  z = Identity(k)
}`);

test('factors are one product again where that is smaller, and what is computed stays', async () => {
  const merged = cloneProgram(program);
  const feeds = randomFeeds(program, { x: [3, 16] });
  const before = await runProgram(program, feeds);
  // 16 × 14 × 12: 392 elements in two factors, 192 in one; 12 × 4 × 12: 96 in two, 144 in one; a Tanh stands before the last.
  expect(await mergeProducts(merged)).toHaveLength(1);
  expect(verify(merged)).toEqual([]);
  inferShapes(merged);
  expect(findSites(merged).map(({ rows, columns }) => [rows, columns])).toEqual([
    [12, 16],
    [4, 12],
    [12, 4],
    [6, 12],
  ]);
  const after = await runProgram(merged, feeds);
  expect(largestDifference(before.get('y')!, after.get('y'))).toBeLessThan(1e-5);
  expect(largestDifference(before.get('z')!, after.get('z'))).toBeLessThan(1e-5);
});

test('a product that is read twice, or given out, stays', async () => {
  const twice = parseProgram(`program opset=21
graph main(x: float32[batch, 8]) -> (y: float32[batch, 8], h: float32[batch, 8]) {
  a: float32[8, 8] = random(seed=1)
  b: float32[8, 8] = random(seed=2)
  h = MatMul(x, a)
  y = MatMul(h, b)
}`);
  expect(await mergeProducts(twice)).toEqual([]);
  expect(findSites(twice)).toHaveLength(2);
});
