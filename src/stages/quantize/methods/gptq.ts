import { internalError } from '../../../errors.ts';
import { gptq as solve } from '../../../kernels/index.ts';
import { clipSearchFor } from './clip.ts';
import { factorFacts, factorOf } from './factor.ts';
import type { RoundingMethod } from './method.ts';

/**
 * Column after column is rounded and the error it makes, measured by H, is moved to the columns that are still free
 * (Frantar et al. 2022, "GPTQ: accurate post-training quantization", algorithm 1; groups are fixed on the original
 * weights, so that columns may be visited by falling diag H while each keeps its group).
 */
export const gptq: RoundingMethod = {
  name: 'gptq',
  summary: 'rounding errors are made good by the columns still to come, weighed by the inputs of calibration data',
  needs: 'gram',
  damp: 0.01,
  async round(problem) {
    const { weight, rows, columns, groupSize, scheme, scaleType, gram, settings, signal } = problem;
    if (!gram) throw internalError('gptq was called without H');
    const clip = clipSearchFor(problem);
    const factor = await factorOf(problem, gram, { damp: settings.damp });
    const solved = await solve({
      weight,
      rows,
      columns,
      factor,
      bits: scheme.bits,
      groupSize,
      scheme: scheme.grid,
      scaleType,
      ...(clip ? { clip } : {}),
      signal,
    });
    const { codes, scales, zeroPoints, losses } = solved;
    return { codes, scales, zeroPoints, losses, ...factorFacts(solved, settings.damp) };
  },
};
