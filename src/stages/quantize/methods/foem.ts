import { internalError } from '../../../errors.ts';
import { gptq as solve } from '../../../kernels/index.ts';
import { clipSearchFor } from './clip.ts';
import { factorFacts, factorOf } from './factor.ts';
import type { RoundingMethod } from './method.ts';

/** β: how much of the drift from the original weights is taken back at every step. */
const drift = 0.2;

/**
 * GPTQ with the first-order term of the loss kept: columns that earlier corrections have moved away from their original
 * weights are drawn back (FOEM, Zheng et al. 2025, arXiv 2507.11017).
 */
export const foem: RoundingMethod = {
  name: 'foem',
  summary: 'as gptq, with weights drawn back to where they were as corrections move them',
  needs: 'gram',
  damp: 0.01,
  async round(problem) {
    const { weight, rows, columns, groupSize, scheme, scaleType, gram, settings, signal } = problem;
    if (!gram) throw internalError('foem was called without H');
    const clip = clipSearchFor(problem);
    const factor = await factorOf(problem, gram, { damp: settings.damp });
    const solved = await solve({
      weight,
      rows,
      columns,
      factor,
      drift,
      bits: scheme.bits,
      groupSize,
      scheme: scheme.grid,
      scaleType,
      ...(clip ? { clip } : {}),
      signal,
    });
    const { codes, scales, zeroPoints } = solved;
    return { codes, scales, zeroPoints, ...factorFacts(solved, settings.damp) };
  },
};
