import { expect, test } from 'vitest';
import { findSites } from '../../src/analysis/sites.ts';
import { hessianTraces, topEigenvalues } from '../../src/curvature/hessian.ts';
import { gradientMoment, inputMoment } from '../../src/curvature/moments.ts';
import { curvatureOf } from '../../src/curvature/store.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { eigenSymmetric } from '../../src/kernels/index.ts';
import { contextIn, normalSamples, scratchFolder } from './workbench.ts';

const scratch = scratchFolder();

test('of a linear regression the Hessian is I ⊗ A: its trace is rows · tr A, its greatest eigenvalue that of A', async () => {
  const program = parseProgram(`program opset=21
graph g(x: float32[N, 6]) -> (hidden) {
  w: float32[6, 4] = random(seed=1)
  hidden: float32[N, 4] = MatMul(x, w) { name: "a" }
}
`);
  const context = contextIn(scratch);
  const dataset = normalSamples([7, 6], 4);
  const sites = findSites(program);
  const { sites: known } = await curvatureOf({ program, dataset, context });
  const curvature = known.get('a')!;
  const a = inputMoment(curvature);
  // The loss of an item is that of one number of the output.
  const perItem = curvature.positions / curvature.items;
  const trace = Array.from({ length: 6 }, (_, index) => a[index * 7]!).reduce((sum, value) => sum + value, 0);
  const { values } = await eigenSymmetric(a, 6);
  const request = { program, dataset, context, sites };
  const eigenvalue = (await topEigenvalues(request)).get('a')!;
  expect(eigenvalue / (perItem * Math.max(...values))).toBeCloseTo(1, 1);
  const many = normalSamples([7, 6], 200);
  const estimate = (await hessianTraces({ ...request, dataset: many })).get('a')!;
  expect(estimate / (perItem * 4 * trace)).toBeGreaterThan(0.8);
  expect(estimate / (perItem * 4 * trace)).toBeLessThan(1.3);
});

test('of a classifier the trace is that of B ⊗ A, summed over positions, for every layer', async () => {
  const program = parseProgram(`program opset=21
graph g(x: float32[N, 8]) -> (logits) {
  w: float32[8, 6] = random(seed=1)
  o: float32[6, 5] = random(seed=2)
  a: float32[N, 6] = MatMul(x, w) { name: "a" }
  b = Tanh(a)
  logits: float32[N, 5] = MatMul(b, o) { name: "o" }
}
`);
  const context = contextIn(scratch);
  const dataset = normalSamples([40, 8], 30);
  const { sites: known } = await curvatureOf({ program, dataset, context });
  const traces = await hessianTraces({ program, dataset, context, sites: findSites(program) });
  const traceOf = (matrix: Float64Array, order: number): number =>
    Array.from({ length: order }, (_, index) => matrix[index * (order + 1)]!).reduce((sum, value) => sum + value, 0);
  for (const [name, curvature] of known) {
    const kronecker =
      traceOf(inputMoment(curvature), curvature.columns) * traceOf(gradientMoment(curvature)!, curvature.rows);
    const ratio = traces.get(name)! / kronecker;
    expect(ratio, name).toBeGreaterThan(0.6);
    expect(ratio, name).toBeLessThan(1.6);
  }
});
