import { quantizeRtn } from '../../../kernels/index.ts';
import { clipSearchFor } from './clip.ts';
import type { RoundingMethod } from './method.ts';

/** Each weight to the nearest point of its group's grid. */
export const rtn: RoundingMethod = {
  name: 'rtn',
  summary: 'round to nearest: no data needed',
  needs: 'nothing',
  damp: 0,
  async round(problem) {
    const { weight, rows, columns, groupSize, scheme, scaleType, signal } = problem;
    const clip = clipSearchFor(problem);
    const rounded = await quantizeRtn({
      weight,
      rows,
      columns,
      bits: scheme.bits,
      groupSize,
      scheme: scheme.grid,
      scaleType,
      ...(clip ? { clip } : {}),
      signal,
    });
    return { ...rounded, facts: {} };
  },
};
