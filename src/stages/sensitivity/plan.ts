import { siteTensor } from '../../analysis/site-weights.ts';
import { gramBytes, gramObstacle } from '../../calibration/statistics/gram.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { describeFormat, formatsOf } from './formats.ts';
import type { SensitivityOptions } from './options.ts';
import { tiedUnits } from './ties.ts';
import { selectUnits } from './units.ts';

/** What would be looked at, found without reading a weight; no weight changes. */
export const planSensitivity = ({ program }: Model, options: SensitivityOptions): StagePlan => {
  const { units, kept, sites, findings } = selectUnits(program, options);
  const formats = formatsOf(options).map(describeFormat).join(', ');
  const unitOf = new Map(units.flatMap((unit) => unit.sites.map((site) => [site.name, unit] as const)));
  const tied = new Map(
    tiedUnits(program, units, options.ties).flatMap((group) => group.map((unit) => [unit, group] as const)),
  );
  const counted = new Set<unknown>();
  const rows = sites.map((site): SitePlan => {
    const { name, op, rows, columns, weight } = site;
    const bytes = counted.has(weight) ? 0 : siteTensor(site).byteLength;
    counted.add(weight);
    const common = { site: name, op, rows, columns, bytesBefore: bytes, bytesAfter: bytes };
    const unit = unitOf.get(name);
    if (!unit) return { ...common, action: 'left out', reason: kept.get(site) ?? 'not a target' };
    const others = tied.get(unit)!.filter((other) => other !== unit);
    const action = options.budget ? `choose among ${formats}` : `assess ${formats}`;
    return {
      ...common,
      action,
      ...(others.length > 0 ? { reason: `like ${others.map((other) => other.name).join(', ')}` } : {}),
    };
  });
  const moments = units.map(({ sites: [site] }) => (gramObstacle(site) ? 0 : gramBytes(site) + 8 * site.rows ** 2));
  return { sites: rows, memoryBytes: Math.max(0, ...moments), findings };
};
