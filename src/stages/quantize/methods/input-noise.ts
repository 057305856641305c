import type { RoundingProblem } from './method.ts';

/** Moments with noise by the moment without, so that matrices with the same inputs share them and their factors. */
const known = new WeakMap<Float64Array, Map<number, Float64Array>>();

const noisy = (moment: Float64Array, live: readonly number[], columns: number, noise: number): Float64Array => {
  const made = known.get(moment) ?? new Map<number, Float64Array>();
  known.set(moment, made);
  const found = made.get(noise) ?? moment.slice();
  if (!made.has(noise)) for (const column of live) found[column * (columns + 1)]! += noise;
  made.set(noise, found);
  return found;
};

/**
 * The same problem with white noise in its inputs, the same noise in the inputs as they were and as they are: H + δ,
 * G + δ and T + δW, δ the share `settings.damp` of the mean diagonal of H. The least-squares weight then leans toward
 * the original one: H, G and what is to be repaired are themselves estimates, and the rounding to come disturbs inputs
 * further. A fifth takes 6 to 12 % off the divergence of the whole model at 2 to 4 bits, where the thousandth that a
 * factorisation needs takes off nothing (docs/figures.md). Columns that are always zero stay without noise.
 */
export const withInputNoise = (problem: RoundingProblem): RoundingProblem => {
  const { weight, columns, gram, cross, target, settings } = problem;
  if (!gram || settings.damp === 0) return problem;
  const live = Array.from({ length: columns }, (_, column) => column).filter((at) => gram[at * (columns + 1)]! > 0);
  const noise = (settings.damp * live.reduce((sum, at) => sum + gram[at * (columns + 1)]!, 0)) / columns;
  let noisyTarget = target;
  if (target) {
    noisyTarget = target.slice();
    for (let row = 0; row < weight.length; row += columns)
      for (const column of live) noisyTarget[row + column]! += noise * weight[row + column]!;
  }
  return {
    ...problem,
    gram: noisy(gram, live, columns, noise),
    cross: cross && noisy(cross, live, columns, noise),
    target: noisyTarget,
  };
};
