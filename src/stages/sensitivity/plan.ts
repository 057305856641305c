import { siteTensor } from '../../analysis/site-weights.ts';
import { gramBytes, gramObstacle } from '../../calibration/statistics/gram.ts';
import type { Program } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { allocateFormats, choiceOf, limitOf } from './budget.ts';
import { bitsIn, describeFormat, type Format, formatsOf } from './formats.ts';
import { withFormats } from './leave-formats.ts';
import type { SensitivityOptions } from './options.ts';
import { tiedUnits } from './ties.ts';
import { selectUnits, type Unit } from './units.ts';

/** What would be looked at, found without reading a weight; no weight changes. */
export const planSensitivity = (model: Model, options: SensitivityOptions): StagePlan => {
  const { program } = model;
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
  const plan = { sites: rows, memoryBytes: Math.max(0, ...moments), findings };
  const provisional = provisionalFormats(program, units, options);
  if (!provisional) return plan;
  return { ...plan, next: { ...model, program: withFormats(program, provisional) } };
};

/**
 * Formats that keep within the budget if a bit less lost four times as much at every weight: what later stages are
 * planned with, since losses are not known before a weight is read.
 */
const provisionalFormats = (
  program: Program,
  units: readonly Unit[],
  options: SensitivityOptions,
): Map<Unit, Format> | undefined => {
  const { budget, grid } = options;
  if (!budget) return undefined;
  const multiplicationsOf = ({ elements }: Unit): number => elements;
  const lossOf = (unit: Unit, format: Format): number => unit.elements * 4 ** -bitsIn(unit, format);
  const formats = formatsOf(options);
  const choices = tiedUnits(program, units, options.ties).map((tied) =>
    choiceOf(tied, formats, { grid, lossOf, multiplicationsOf }),
  );
  const limit = limitOf(budget, program, choices, multiplicationsOf);
  const picks = budget.kind === 'divergence' ? choices.map(() => formats.length >> 1) : allocateFormats(choices, limit);
  return new Map(
    choices.flatMap((choice, index) =>
      choice.units.map((unit): [Unit, Format] => [unit, choice.options[picks[index]!]!.format]),
    ),
  );
};
