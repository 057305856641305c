import { expect, test } from 'vitest';
import { readSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { quantize } from '../quantize/weights/context.ts';
import { contextFor, slice, tinyCnn } from './workbench.ts';

const model = await tinyCnn();
const options = { method: 'synflow', ratio: 0.25, signs: true, ignore: ['op:Gemm'] };

test('weights become their signs with the mean magnitude of their row; what is ignored stays', async () => {
  const plain = await slice(model, { ...options, signs: false }, contextFor(undefined));
  const signed = await slice(model, options, contextFor(undefined));
  const before = new Map(findSites(plain.model.program).map((site) => [site.name, readSiteMatrix(site)]));
  let changed = 0;
  for (const site of findSites(signed.model.program)) {
    const [was, is] = [before.get(site.name)!, readSiteMatrix(site)];
    if (site.op === 'Gemm') {
      expect(is).toEqual(was);
      continue;
    }
    changed++;
    for (let row = 0; row < site.rows; row++) {
      const at = row * site.columns;
      const own = was.subarray(at, at + site.columns);
      const mean = own.reduce((sum, value) => sum + Math.abs(value), 0) / site.columns;
      for (const [column, value] of own.entries()) expect(is[at + column]).toBeCloseTo(Math.sign(value) * mean, 6);
    }
  }
  const fact = signed.findings.find(({ facts }) => facts?.signed_weights !== undefined);
  expect(fact?.facts?.signed_weights).toBe(changed);
  expect(changed).toBeGreaterThan(0);
});

test('signs are stored in two bits without loss', async () => {
  const signed = await slice(model, options, contextFor(undefined));
  const asked = {
    method: 'rtn',
    ignore: ['op:Gemm'],
    weights: { bits: 2, symmetric: 'narrow', group_size: 'row' },
  };
  const stored = await quantize(signed.model, asked);
  const before = new Map(findSites(signed.model.program).map((site) => [site.name, readSiteMatrix(site)]));
  for (const site of findSites(stored.model.program))
    readSiteMatrix(site).forEach((value, at) => {
      expect(value).toBeCloseTo(before.get(site.name)![at]!, 6);
    });
});
