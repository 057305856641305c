import { stringify } from 'yaml';
import type { Format } from './formats.ts';
import type { SensitivityOptions } from './options.ts';
import type { Assignment } from './report.ts';

const keyOf = ({ bits, groupSize }: Format): string => `${bits} ${groupSize}`;

const weightsOf = ({ bits, groupSize }: Format): unknown =>
  bits === 'none' ? 'none' : { bits, group_size: groupSize };

const symOf = (grid: SensitivityOptions['grid']): boolean | 'narrow' =>
  grid === 'symmetric-narrow' ? 'narrow' : grid === 'symmetric';

/**
 * A quantize stage that gives every site the format of an allocation: the most frequent one as the rule, the others as
 * overrides by exact names.
 */
export const recipeText = (assignment: Assignment, { grid, targets, ignore }: SensitivityOptions): string => {
  const counts = new Map<string, number>();
  for (const format of assignment.values())
    if (format.bits !== 'none') counts.set(keyOf(format), (counts.get(keyOf(format)) ?? 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
  const usual = [...assignment.values()].find((format) => keyOf(format) === most);
  const overrides = [...assignment]
    .filter(([, format]) => keyOf(format) !== most)
    .map(([match, format]) => ({ match, weights: weightsOf(format) }));
  const stage = {
    method: 'curvature',
    weights: { ...(usual ? { bits: usual.bits, group_size: usual.groupSize } : {}), sym: symOf(grid) },
    ...(targets.join() === '*' ? {} : { targets: [...targets] }),
    ...(ignore.length === 0 ? {} : { ignore: [...ignore] }),
    ...(overrides.length === 0 ? {} : { overrides }),
  };
  return stringify({ stages: [{ quantize: stage }] }, { lineWidth: 0 });
};
