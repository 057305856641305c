import { describe, expect, test } from 'vitest';
import { measureCost } from '../../src/analysis/cost.ts';
import { packSite, readSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites } from '../../src/analysis/sites.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { packRows, quantizeRtn } from '../../src/kernels/index.ts';

const model = () =>
  parseProgram(`program opset=21
graph main(ids: int64[1, 5]) -> (y) {
  table: float32[16, 64] = random(seed=1)
  q: float32[64, 64] = random(seed=2)
  up: float32[64, 128] = random(seed=3)
  bias: float32[128] = zeros
  h = Gather(table, ids) { role: "embedding" }
  a = MatMul(h, q) { role: "q" }
  b = MatMul(a, up)
  y = Add(b, bias)
}`);

describe('what constants amount to', () => {
  test('is summed by the part that they belong to', () => {
    const cost = measureCost(model());
    expect(Object.fromEntries(cost.byPart)).toEqual({
      embedding: { parameters: 1024, storedBytes: 4096 },
      attention: { parameters: 4096, storedBytes: 16384 },
      linear: { parameters: 8192, storedBytes: 32768 },
      other: { parameters: 128, storedBytes: 512 },
    });
    expect(cost).toMatchObject({ parameters: 13440, storedBytes: 53760 });
  });

  test('counts packed weights as integers, scales and zero points', async () => {
    const program = model();
    const site = findSites(program).find(({ role }) => role === 'q')!;
    const { rows, columns } = site;
    const found = await quantizeRtn({
      weight: readSiteMatrix(site),
      rows,
      columns,
      bits: 4,
      groupSize: 32,
      scheme: 'asymmetric',
    });
    const codes = packRows({ codes: found.codes, rows, columns, bits: 4 });
    packSite(site, {
      bits: 4,
      storedBits: 4,
      groupSize: 32,
      codes,
      scales: found.scales,
      zeroPoints: found.zeroPoints,
      method: 'rtn',
    });
    expect(measureCost(program).byPart.get('attention')).toEqual({
      parameters: 4096,
      storedBytes: (64 * 64) / 2 + 64 * 2 * 4 + 64,
    });
  });

  test('counts a constant once, however often it is used, and looks through its changes of form', () => {
    const tied = parseProgram(`program opset=21
graph main(ids: int64[1, 5]) -> (y) {
  table: float32[16, 8] = random(seed=1)
  t = Transpose(table, perm=[1, 0])
  h = Gather(table, ids)
  y = MatMul(h, t)
}`);
    expect(Object.fromEntries(measureCost(tied).byPart)).toEqual({ embedding: { parameters: 128, storedBytes: 512 } });
  });
});
