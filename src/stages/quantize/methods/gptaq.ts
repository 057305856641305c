import { internalError } from '../../../errors.ts';
import { gptq as solve } from '../../../kernels/index.ts';
import { clipSearchFor } from './clip.ts';
import { factorFacts, factorOf } from './factor.ts';
import { gptq } from './gptq.ts';
import type { RoundingMethod } from './method.ts';

/** α: how much of what the inputs have lost is made good; all of it is better than the paper's quarter at every width. */
const share = 1;

/** E[(x_full - x) xᵀ] by G, so that matrices with the same inputs are factored once. */
const moments = new WeakMap<Float64Array, Float64Array>();

const pairMoment = (cross: Float64Array, gram: Float64Array): Float64Array => {
  const moment = moments.get(cross) ?? cross.map((value, index) => value - gram[index]!);
  moments.set(cross, moment);
  return moment;
};

/**
 * GPTQ whose columns also make good what their own inputs have lost on the way through rounded weights: beside the error
 * of rounding a column, its weight times the inputs' difference is moved to the columns still to come (GPTAQ, Li et al.
 * 2025, arXiv 2504.02692, algorithm 1). Plain GPTQ where inputs are as they were, or how they were is not known.
 */
export const gptaq: RoundingMethod = {
  name: 'gptaq',
  summary: 'as gptq, and what inputs have lost through earlier rounding is made good column by column',
  needs: 'pairs',
  damp: 0.01,
  async round(problem) {
    const { weight, rows, columns, groupSize, scheme, scaleType, gram, cross, settings, signal } = problem;
    if (!gram) throw internalError('gptaq was called without H');
    if (!cross) return gptq.round(problem);
    const clip = clipSearchFor(problem);
    const { damp } = settings;
    const pairs = { moment: pairMoment(cross, gram), share };
    const factor = await factorOf(problem, gram, { damp, pairs });
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
    const { codes, scales, zeroPoints } = solved;
    return { codes, scales, zeroPoints, ...factorFacts(solved, damp) };
  },
};
