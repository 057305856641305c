import { readSiteMatrix, siteTensor } from '../../analysis/site-weights.ts';
import { inputMoment, type SiteCurvature } from '../../curvature/moments.ts';
import { dequantize, gptq, quantizeRtn } from '../../kernels/index.ts';
import { type Format, groupColumns } from './formats.ts';
import type { SensitivityOptions } from './options.ts';
import type { Unit } from './units.ts';

/** Damping may grow tenfold this often before a matrix is rounded to nearest instead. */
const dampRetries = 6;

/** Rounds the matrix of a unit to formats. */
export interface UnitRounding {
  /** W (rows, columns). Not to be changed. */
  readonly weight: Float32Array;
  /** The matrix that a format would store, (rows, columns). */
  round(format: Format): Promise<Float32Array>;
}

/**
 * Reads a unit's matrix and, for GPTQ, the second moments of its inputs. Where these are not known, weights are rounded
 * to nearest.
 */
export const roundingOf = (
  unit: Unit,
  curvature: SiteCurvature | undefined,
  { rounding, grid }: Pick<SensitivityOptions, 'rounding' | 'grid'>,
  signal: AbortSignal,
): UnitRounding => {
  const [site] = unit.sites;
  const weight = readSiteMatrix(site);
  const { columns } = site;
  const groups = rounding === 'gptq' && curvature ? curvature.inputs.length : 1;
  const hessians =
    rounding === 'gptq' && curvature ? curvature.inputs.map((_, group) => inputMoment(curvature, group)) : undefined;
  const scaleType = siteTensor(site).dtype === 'float16' ? ('float16' as const) : ('float32' as const);
  const rows = site.rows / groups;
  return {
    weight,
    round: async (format) => {
      const { bits } = format;
      if (bits === 'none') return weight;
      const groupSize = groupColumns(site, format);
      const result = new Float32Array(weight.length);
      for (let group = 0; group < groups; group++) {
        const at = group * rows * columns;
        const part = weight.subarray(at, at + rows * columns);
        const common = { weight: part, rows, columns, bits, groupSize, scheme: grid, scaleType, signal };
        const hessian = hessians?.[group];
        const rounded = hessian
          ? await gptq({ ...common, hessian, actOrder: true, damp: 0.01, maxDampRetries: dampRetries })
          : await quantizeRtn(common);
        result.set(dequantize({ ...rounded, rows, columns, groupSize, bits }), at);
      }
      return result;
    },
  };
};
