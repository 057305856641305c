import { leastDamp } from './factor.ts';
import type { RoundingProblem } from './method.ts';

/**
 * White noise in the inputs of a rounding problem, the same in the inputs as they were and as they are: H + δ, G + δ and
 * T + δW with δ the share `settings.damp` of the mean diagonal of H. The least-squares weight then leans toward the
 * original one: H, G and what is to be repaired are themselves estimates, and the rounding to come disturbs inputs
 * further. A fifth takes 5 to 12 % off the divergence of the whole model at 2 to 4 bits, where the thousandth that a
 * factorisation needs takes off nothing (docs/figures.md).
 */
export interface InputNoise {
  /** δ. */
  readonly power: number;
  /** T + δW of a T (rows, columns), made anew. */
  target(target: Float64Array): Float64Array;
}

/**
 * The noise of a problem whose H is given: a share of the mean diagonal over inputs that are not always zero. Never none,
 * so that what no input reaches keeps its weight.
 */
export const inputNoise = (
  { weight, columns, settings }: RoundingProblem,
  gram: Float64Array,
  share = settings.damp,
): InputNoise => {
  let [trace, live] = [0, 0];
  for (let column = 0; column < columns; column++) {
    const energy = gram[column * (columns + 1)]!;
    trace += energy;
    if (energy > 0) live++;
  }
  const power = trace > 0 ? (Math.max(share, leastDamp) * trace) / live : 1;
  return {
    power,
    target: (target) => {
      const noisy = new Float64Array(target.length);
      for (let index = 0; index < noisy.length; index++) noisy[index] = target[index]! + power * weight[index]!;
      return noisy;
    },
  };
};
