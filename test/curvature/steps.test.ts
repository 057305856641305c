import { expect, test } from 'vitest';
import type { Dataset, NumericArray } from '../../src/calibration/dataset.ts';
import { gradientMoment, inputMoment } from '../../src/curvature/moments.ts';
import { curvatureOf } from '../../src/curvature/store.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { withSession } from '../../src/execution/session.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';
import { contextIn, scratchFolder } from './workbench.ts';

const scratch = scratchFolder();

const program = parseProgram(`program opset=21
graph g(x: float32[1, 6], state: float32[1, 8]) -> (y, stateN) {
  w: float32[6, 8] = random(seed=1)
  r: float32[8, 8] = random(seed=2, scale=0.3)
  o: float32[8, 1] = random(seed=3)
  a: float32[1, 8] = MatMul(x, w) { name: "in" }
  b: float32[1, 8] = MatMul(state, r) { name: "recurrent" }
  c: float32[1, 8] = Add(a, b)
  stateN: float32[1, 8] = Tanh(c)
  d: float32[1, 1] = MatMul(stateN, o) { name: "out" }
  y: float32[1, 1] = Sigmoid(d)
}
`);

const floats = (shape: readonly number[], data: Float32Array): NumericArray => ({ dtype: 'float32', shape, data });

const steps = Array.from({ length: 5 }, (_, index) =>
  floats([1, 6], Float32Array.from(new Random(index, 'step').normals(6))),
);

const sequence: Dataset = {
  description: 'a sequence',
  length: 1,
  fingerprint: 'sequence',
  sample: async () => ({
    kind: 'sequence',
    steps: steps.map((x) => new Map([['x', x]])),
    initial: new Map([['state', floats([1, 8], new Float32Array(8))]]),
    carry: new Map([['stateN', 'state']]),
  }),
};

/** The same steps, each a sample with the state that it was given. */
const unrolled = async (): Promise<Dataset> => {
  const feeds: Map<string, NumericArray>[] = [];
  await withSession(onnxruntimeEngine, program, {}, async (session) => {
    let state = floats([1, 8], new Float32Array(8));
    for (const x of steps) {
      feeds.push(
        new Map([
          ['x', x],
          ['state', state],
        ]),
      );
      state = (await session.run(feeds.at(-1)!)).get('stateN')!;
    }
  });
  const sample = async (index: number) => ({ kind: 'arrays' as const, arrays: feeds[index]! });
  return { description: 'steps', length: feeds.length, fingerprint: 'steps', sample };
};

test('the steps of a sequence are samples of their own with the state that they were given', async () => {
  const { sites } = await curvatureOf({ program, dataset: sequence, context: contextIn(scratch) });
  const { sites: apart } = await curvatureOf({ program, dataset: await unrolled(), context: contextIn(scratch) });
  expect([...sites.keys()]).toEqual(['in', 'recurrent']);
  for (const [name, site] of sites) {
    expect(site.items).toBe(5);
    expect(inputMoment(site)).toEqual(inputMoment(apart.get(name)!));
  }
});

test('what is carried to the next step is no output that is judged', async () => {
  const { sites } = await curvatureOf({ program, dataset: sequence, context: contextIn(scratch) });
  const { sites: apart } = await curvatureOf({ program, dataset: await unrolled(), context: contextIn(scratch) });
  // With the state as an output of its own, the recurrent product has far more to answer for.
  const trace = (matrix: Float64Array): number =>
    Array.from({ length: 8 }, (_, index) => matrix[index * 9]!).reduce((sum, value) => sum + value, 0);
  const alone = trace(gradientMoment(sites.get('recurrent')!)!);
  const both = trace(gradientMoment(apart.get('recurrent')!)!);
  expect(both).toBeGreaterThan(1.5 * alone);
});
