import { internalError } from '../../../errors.ts';
import { chooseGrid, gptq as solve } from '../../../kernels/index.ts';
import { clipSearchFor } from './clip.ts';
import { factorFacts, factorOf } from './factor.ts';
import { inputNoise } from './input-noise.ts';
import type { RoundingMethod, RoundingProblem } from './method.ts';

/**
 * The weight that, on the inputs as they have become, comes nearest to what the exact weight gives on the inputs as they
 * were: (T + δW)(H + δ)⁻¹, T = W E[x_full xᵀ], δ the noise of the inputs; the weight itself where the inputs as they
 * were are not known, and in columns that no input reaches.
 */
const targetWeight = async (problem: RoundingProblem): Promise<Float32Array> => {
  const { weight, rows, columns, settings, signal, gram, target } = problem;
  if (!gram) throw internalError('qronos was called without H');
  if (!target) return weight;
  const factor = await factorOf(problem, gram, { damp: settings.damp });
  const { target: right } = inputNoise(problem, gram, factor.dampUsed);
  const solved = await factor.solve(right(target), rows, { signal });
  for (let column = 0; column < columns; column++)
    if (gram[column * (columns + 1)] === 0)
      for (let at = column; at < weight.length; at += columns) solved[at] = weight[at]!;
  return solved;
};

/**
 * Rounds so that W x_full ≈ Q x with x the inputs that have gone through rounded weights (Qronos, arXiv 2505.11695): the
 * target is the least-squares weight for the present inputs, the order and the corrections are those of GPTQ, the grids
 * those of the original weight. (The paper picks its first column against the uncorrected rest; all others are equal.)
 */
export const qronos: RoundingMethod = {
  name: 'qronos',
  summary: 'as gptq, towards what the unquantized model gives: repairs what earlier rounding did',
  needs: 'target',
  damp: 0.2,
  goal: targetWeight,
  async round(problem) {
    const { weight, rows, columns, groupSize, scheme, scaleType, gram, settings, signal } = problem;
    if (!gram) throw internalError('qronos was called without H');
    const clip = clipSearchFor(problem, inputNoise(problem, gram).power);
    const grid = {
      bits: scheme.bits,
      groupSize,
      scheme: scheme.grid,
      scaleType,
      ...(clip ? { clip } : {}),
    };
    const grids = await chooseGrid({ weight, rows, columns, ...grid, signal });
    const target = problem.goal ?? (await targetWeight(problem));
    const factor = await factorOf(problem, gram, { damp: settings.damp });
    const solved = await solve({ weight: target, rows, columns, factor, ...grid, grids, signal });
    const { codes, scales, zeroPoints, losses } = solved;
    return { codes, scales, zeroPoints, losses, ...factorFacts(solved, settings.damp) };
  },
};
