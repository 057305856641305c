import { expect, test } from 'vitest';
import type { Dataset } from '../../src/calibration/dataset.ts';
import { curvatureOf } from '../../src/curvature/store.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import type { StageContext } from '../../src/stages/stage.ts';
import { contextIn, scratchFolder } from './workbench.ts';

const scratch = scratchFolder();

/** One sample of ones. */
const ones = (positions: number): Dataset => ({
  description: 'ones',
  length: 1,
  fingerprint: `ones ${positions}`,
  sample: async () => {
    const data = new Float32Array(positions * 256).fill(1);
    return { kind: 'arrays', arrays: new Map([['', { dtype: 'float32', shape: [1, positions, 256], data }]]) };
  },
});

const collect = (context: StageContext, positions: number) => {
  const given = parseProgram(`program opset=21
graph g(x: float32[batch, length, 256]) -> (y) {
  a: float32[256, 512] = random(seed=1, scale=0.1)
  b: float32[512, 256] = random(seed=2, scale=0.1)
  c: float32[256, 4] = random(seed=3, scale=0.1)
  h = MatMul(x, a)
  r = Relu(h)
  k = MatMul(r, b)
  s = Add(k, x)
  y = MatMul(s, c)
}
`);
  return curvatureOf({
    program: given,
    dataset: ones(positions),
    context,
  });
};

test('memory for one sample of one block is predicted before anything is computed, with what to change', async () => {
  const context = contextIn(scratch, { maxMemoryBytes: 2 ** 26 });
  await expect(collect(context, 12_288)).rejects.toMatchObject({
    code: 'resource',
    message: expect.stringMatching(
      /the curvature of segment \d needs about \d+ MiB for one sample, and 64 MiB are allowed/,
    ),
    hint: expect.stringMatching(/--max-memory.*shorter windows/),
  });
  expect(context.sessions()).toBe(0);
});

test('small samples are never refused', async () => {
  const { sites } = await collect(contextIn(scratch, { maxMemoryBytes: 0 }), 16);
  expect(sites.size).toBe(3);
});
