import { describe, expect, test } from 'vitest';
import {
  buildGolden,
  fitsFusedAttention,
  goldenNames,
  isDecoder,
  largestDifference,
  openGolden,
  runProgram,
} from './golden.ts';

const outputNames = ['logits', 'last_hidden_state', 'pooler_output', 'start_logits', 'end_logits'];

const goldens = goldenNames.map(openGolden);

describe.each([
  ['standard operators', { opset: 21, fused: false }],
  ['the oldest operator set', { opset: 18, fused: false }],
  ['the newest operator set', { opset: 24, fused: false }],
  ['fused operators', { opset: 21, fused: true }],
])('a graph in %s computes what PyTorch computes', (_title, options) => {
  const buildable = options.fused
    ? goldens.filter((golden) => !isDecoder(golden) || fitsFusedAttention(golden))
    : goldens;
  test.each(buildable)('$name', async (golden) => {
    const program = buildGolden(golden, { ...options, pooler: true });
    const results = await runProgram(program, golden.arrays);
    const wanted = outputNames.filter((name) => golden.arrays.has(name));
    expect([...results.keys()].sort()).toEqual([...wanted].sort());
    for (const name of wanted)
      expect(largestDifference(results.get(name), golden.arrays.get(name)), name).toBeLessThan(1e-4);
  });
});

test('fused attention refuses heads that onnxruntime cannot take', () => {
  const golden = openGolden('llama-grouped-bias');
  expect(() => buildGolden(golden, { fused: true })).toThrow(/multiple of 8 channels, not 6/);
});
