import { changeSums } from '../../../curvature/predict.ts';
import { dequantize } from '../../../kernels/index.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { Rounded, RoundingProblem } from '../methods/method.ts';
import type { Piece } from './pieces.ts';
import type { UnitFacts } from './round-unit.ts';

/**
 * What the curvature predicts for a piece's integers, in nats an item: the loss as if these weights were the only ones
 * that changed, on the inputs that they have now. Undefined where H or B is not known.
 */
export const predictedLoss = async (
  { gram, outputs }: Piece,
  weight: Float32Array,
  rounded: Rounded,
  { rows, columns, groupSize, scheme }: Omit<RoundingProblem, 'weight'>,
): Promise<number | undefined> => {
  if (!gram || !outputs) return undefined;
  const delta = dequantize({ ...rounded, rows, columns, groupSize, bits: scheme.bits });
  for (let index = 0; index < delta.length; index++) delta[index]! -= weight[index]!;
  const { crossed } = await changeSums({ delta, rows, columns, inputs: gram }, outputs);
  return outputs.scale * crossed;
};

/** The sum over the weights for which there is a prediction, to be held against the divergence that is measured. */
export const predictedFinding = (facts: Iterable<UnitFacts>): Finding[] => {
  const losses = [...facts].flatMap(({ predicted_loss: loss }) => loss ?? []);
  if (losses.length === 0) return [];
  const loss = losses.reduce((sum, value) => sum + value, 0);
  const text = `the curvature predicts a loss of ${loss.toPrecision(3)} nats for ${losses.length} weights, each rounded alone`;
  return [{ kind: 'fact', text, facts: { predicted_loss: loss, weights: losses.length } }];
};
