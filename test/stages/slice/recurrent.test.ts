import { expect, test } from 'vitest';
import { findSites } from '../../../src/analysis/sites.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { inputSignature } from '../../../src/execution/signature.ts';
import type { Model } from '../../../src/ir/model.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { contextFor, slice } from './workbench.ts';

const recurrent: Model = {
  program: parseProgram(`program opset=17
graph g(x: float32[5, n, 12]) -> (y) {
  wa: float32[12, 16] = random(seed=1, scale=0.4)
  wb: float32[16, 8] = random(seed=2, scale=0.4)
  w: float32[1, 30, 8] = random(seed=3, scale=0.4)
  r: float32[1, 30, 10] = random(seed=4, scale=0.4)
  wc: float32[10, 6] = random(seed=5, scale=0.4)
  first: int64[1] = [1]
  a = MatMul(x, wa) { name: "wide" }
  h = Relu(a)
  b = MatMul(h, wb) { name: "narrow" }
  all, last = GRU(b, w, r, hidden_size=10) { name: "cell" }
  state = Squeeze(all, first)
  y = MatMul(state, wc) { name: "head" }
}`),
  family: undefined,
  config: undefined,
  companions: [],
  origin: 'text',
};

test('channels that a recurrent layer reads stay where the method looks at what products read, and others go', async () => {
  const calibration = await openDataset(
    { random: null, samples: 12 },
    { baseDirectory: '.', seed: 0, modelInputs: inputSignature(recurrent.program) },
  );
  const options = { ratio: { parameters: 0.1 }, kinds: ['neurons', 'states'] };
  const { model, findings } = await slice(recurrent, options, contextFor(calibration));
  expect(verify(model.program)).toEqual([]);
  const rows = new Map(findSites(model.program).map(({ name, rows: count }) => [name, count]));
  expect(rows.get('wide')).toBeLessThan(16);
  expect(rows.get('narrow')).toBe(8);
  expect(findings.map(({ text }) => text).join('\n')).toMatch(/a recurrent layer reads them.*neurons of narrow/);
  const { model: plain } = await slice(
    recurrent,
    { ...options, ratio: { parameters: 0.4 }, method: 'magnitude', refit: false },
    contextFor(undefined),
  );
  expect(findSites(plain.program).find(({ name }) => name === 'narrow')!.rows).toBeLessThan(8);
  expect(findSites(plain.program).find(({ name }) => name === 'cell#1')!.columns).toBeLessThan(10);
});
