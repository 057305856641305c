import { expect, test } from 'vitest';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { correlatedInputs, modelOf, quantize } from './context.ts';

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
