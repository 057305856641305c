import { expect, test } from 'vitest';
import { findSites } from '../../../src/analysis/sites.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { findParts } from '../../../src/stages/auto/parts.ts';

const program = parseProgram(`program opset=21
graph main(x: float32[1, 4, 6, 6]) -> (y: float32[1, 4, 6, 6]) {
  a: float32[8, 4, 3, 3] = random(seed=1)
  b: float32[8, 8, 3, 3] = random(seed=2)
  c: float32[4, 8, 3, 3] = random(seed=3)
  h = Conv(x, a, pads=[1, 1, 1, 1])
  i = Relu(h)
  j = Conv(i, b, pads=[1, 1, 1, 1])
  k = Relu(j)
  y = Conv(k, c, pads=[1, 1, 1, 1])
}`);

const partsOf = (inChains: 'channels' | 'weights') =>
  findParts(program, findSites(program), ['channels'], inChains).parts.map(({ sites, pool }) => [
    sites.map(({ weight }) => weight.name).join(''),
    pool?.units.length ?? 0,
  ]);

test('of a chain either the channels or the weights are decided about, every weight once', () => {
  expect(partsOf('channels')).toEqual([
    ['', 8],
    ['', 8],
  ]);
  expect(partsOf('weights')).toEqual([
    ['a', 0],
    ['b', 0],
    ['c', 0],
  ]);
});
