import { describe, expect, test } from 'vitest';
import { measureCost } from '../../src/analysis/cost.ts';
import { packSite, readSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites } from '../../src/analysis/sites.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { packRows, quantizeRtn } from '../../src/kernels/index.ts';

const model = () =>
  parseProgram(`program opset=21
graph main(x: float32[1, 64]) -> (y) {
  a: float32[64, 64] = random(seed=2)
  bias: float32[64] = zeros
  p = MatMul(x, a)
  q = Add(p, bias)
  y = Add(q, bias)
}`);

describe('what constants amount to', () => {
  test('is counted once a constant, however often it is used', () => {
    expect(measureCost(model())).toEqual({ parameters: 64 * 64 + 64, storedBytes: 4 * (64 * 64 + 64) });
  });

  test('is integers, scales and zero points for packed weights', async () => {
    const program = model();
    const site = findSites(program)[0]!;
    const { rows, columns } = site;
    const weight = readSiteMatrix(site);
    const found = await quantizeRtn({ weight, rows, columns, bits: 4, groupSize: 32, scheme: 'asymmetric' });
    const { scales, zeroPoints } = found;
    const codes = packRows({ codes: found.codes, rows, columns, bits: 4 });
    packSite(site, { bits: 4, storedBits: 4, groupSize: 32, codes, scales, zeroPoints, method: 'rtn' });
    expect(measureCost(program)).toEqual({
      parameters: 64 * 64 + 64,
      storedBytes: (64 * 64) / 2 + 64 * 2 * 4 + 64 + 4 * 64,
    });
  });
});
