import { expect, test } from 'vitest';
import { readSiteMatrix } from '../../../../src/analysis/site-weights.ts';
import { findSites } from '../../../../src/analysis/sites.ts';
import { predictLoss } from '../../../../src/curvature/predict.ts';
import { curvatureOf } from '../../../../src/curvature/store.ts';
import type { Program } from '../../../../src/ir/graph.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { contextIn, scratchFolder } from '../../../curvature/workbench.ts';
import { correlatedInputs, modelOf, quantize } from './context.ts';

const scratch = scratchFolder();

const model = modelOf(
  parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (logits) {
  w: float32[32, 32] = random(seed=1, scale=0.2)
  h: float32[32, 12] = random(seed=2, scale=0.2)
  a: float32[N, 32] = MatMul(x, w) { name: "a" }
  b: float32[N, 32] = Tanh(a)
  logits: float32[N, 12] = MatMul(b, h) { name: "h" }
}
`),
);

/** W of the value named. */
const matrixOf = (program: Program, name: string): Float32Array =>
  readSiteMatrix(findSites(program).find((site) => site.name === name)!);

const lossOf = async (bits: number, method = 'curvature'): Promise<number | undefined> => {
  const calibration = correlatedInputs([16, 32], 8);
  const { findings } = await quantize(model, { method, weights: { bits } }, { calibration });
  return findings.find(({ facts }) => facts?.predicted_loss !== undefined)?.facts?.predicted_loss as number | undefined;
};

test('a model rounded by the curvature is reported with the loss that it predicts, the smaller the more bits', async () => {
  const [two, three, four] = [await lossOf(2), await lossOf(3), await lossOf(4)];
  expect(two!).toBeGreaterThan(2 * three!);
  expect(three!).toBeGreaterThan(2 * four!);
  expect(four!).toBeGreaterThan(0);
});

test('methods that do not look at the curvature predict nothing', async () => {
  expect(await lossOf(4, 'rtn')).toBeUndefined();
});

test('the loss of a weight is the one that the curvature gives for the change of its integers', async () => {
  const calibration = correlatedInputs([16, 32], 8);
  const { model: made, events } = await quantize(model, { method: 'curvature', weights: { bits: 3 } }, { calibration });
  const facts = events.find((event) => event.type === 'site-finished' && event.site === 'a');
  const [before, after] = [matrixOf(model.program, 'a'), matrixOf(made.program, 'a')];
  const { sites } = await curvatureOf({
    program: model.program,
    dataset: calibration,
    context: contextIn(scratch, { seed: 0 }),
  });
  const delta = after.map((value, index) => value - before[index]!);
  const predicted = await predictLoss(sites.get('a')!, delta);
  expect(predicted!).toBeGreaterThan(0);
  expect(facts).toMatchObject({ facts: { predicted_loss: expect.closeTo(predicted!, 9) } });
});
