import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openModel } from '../../src/artifact/open.ts';
import type { Dataset } from '../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { Random } from '../../src/random.ts';
import { routingFindings } from '../../src/stages/routing-findings.ts';
import { fixture } from '../recipe/tiny-run.ts';

const windows = (tokens: number): Dataset => ({
  description: 'windows',
  length: 1,
  fingerprint: `windows ${tokens}`,
  sample: async () => {
    const random = new Random(1, 'tokens');
    const ids = Int32Array.from({ length: tokens }, () => random.integer(48));
    return { kind: 'tokens', ids, scored: new Uint8Array(tokens).fill(1) };
  },
});

const context = {
  engine: onnxruntimeEngine,
  scratch: { directory: tmpdir() },
  emit: () => {},
  signal: new AbortController().signal,
};

const mixture = join(import.meta.dirname, '../../fixtures/reference/mixtral');

test('every sparse layer tells how its experts are used, and the paths to the next', async () => {
  const { program } = await openModel(mixture);
  const findings = await routingFindings(program, windows(60), context);
  expect(findings).toHaveLength(2);
  for (const { facts } of findings) {
    const calls = Object.entries(facts!).filter(([name]) => name.startsWith('calls of expert'));
    expect(calls).toHaveLength(4);
    expect(calls.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(2 * 60);
  }
  expect(findings[0]!.text).toMatch(/experts of block 0: each token goes to 2 of 4; .*most frequent steps .* → /);
  expect(findings[1]!.text).not.toContain('steps');
});

test('an expert that no token calls is warned of', async () => {
  const { program } = await openModel(mixture);
  const [first] = await routingFindings(program, windows(2), context);
  expect(first!.kind).toBe('warning');
  expect(first!.text).toContain('are called by no token of the calibration data');
});

test('other models have nothing to tell', async () => {
  const { program } = await openModel(fixture('tiny-llama'));
  expect(await routingFindings(program, windows(8), context)).toEqual([]);
});
