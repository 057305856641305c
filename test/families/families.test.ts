import { describe, expect, test } from 'vitest';
import { buildGolden, goldenNames, largestDifference, openGolden, runProgram } from './golden.ts';

const outputs = ['logits', 'last_hidden_state', 'pooler_output', 'start_logits', 'end_logits'];

describe('a graph built from a checkpoint computes what PyTorch computes', () => {
  test.each(goldenNames)('%s', async (name) => {
    const golden = openGolden(name);
    const program = buildGolden(golden, { pooler: true });
    const results = await runProgram(program, golden.arrays);
    for (const output of outputs) {
      const wanted = golden.arrays.get(output);
      if (wanted) expect(largestDifference(results.get(output), wanted), output).toBeLessThan(1e-4);
    }
  });
});
