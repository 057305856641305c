import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import type { Finding } from '../../recipe/events.ts';
import { selectSites } from '../select-sites.ts';
import type { SensitivityOptions } from './options.ts';

/** One constant whose width is to be chosen, and every site that reads it. */
export interface Unit {
  /** Name of the first site. */
  readonly name: string;
  readonly weight: Value;
  readonly sites: readonly [Site, ...Site[]];
  readonly elements: number;
  /** Bytes of the constant now. */
  readonly bytes: number;
}

export interface UnitSelection {
  readonly units: readonly Unit[];
  /** Sites that stay as they are, with the reason. */
  readonly kept: ReadonlyMap<Site, string>;
  readonly sites: readonly Site[];
  readonly findings: readonly Finding[];
}

const floats: readonly string[] = ['float32', 'float16', 'bfloat16'];

/** Why a constant's width cannot be chosen, if so. */
const obstacleOf = ([first, ...rest]: readonly [Site, ...Site[]]): string | undefined => {
  const tensor = siteTensor(first);
  if (tensor instanceof PackedTensor) return 'it is quantized already';
  if (!floats.includes(tensor.dtype)) return `${tensor.dtype} weights are not rounded`;
  if (rest.some((site) => site.rows !== first.rows || site.layout !== first.layout))
    return 'its sites see the shared constant as different matrices';
  return undefined;
};

/** The constants that the options name, in execution order of their first sites. Reads no weight. */
export const selectUnits = (program: Program, options: SensitivityOptions): UnitSelection => {
  const sites = findSites(program);
  const { chosen, kept: unselected, findings } = selectSites(sites, options);
  const kept = new Map(unselected);
  const byWeight = new Map<Value, Site[]>();
  for (const site of chosen) byWeight.set(site.weight, [...(byWeight.get(site.weight) ?? []), site]);
  const units: Unit[] = [];
  for (const [weight, list] of byWeight) {
    const members = list as [Site, ...Site[]];
    const obstacle = obstacleOf(members);
    if (obstacle === undefined) {
      const [{ name, rows, columns }] = members;
      units.push({ name, weight, sites: members, elements: rows * columns, bytes: siteTensor(members[0]).byteLength });
    } else for (const site of members) kept.set(site, obstacle);
  }
  return { units, kept, sites, findings };
};
