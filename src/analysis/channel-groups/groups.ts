import type { Program, Value } from '../../ir/graph.ts';
import { inferFacts, labelOf } from '../../ir/inference/infer.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { constantOf, graphsWithin } from '../../ir/walk.ts';
import { findSites, type Site } from '../sites.ts';
import { Atoms } from './atoms.ts';
import { type Axis, AxisTable } from './axes.ts';
import { cutProgram } from './cut.ts';
import { axisRuleOf } from './rules/table.ts';
import { siteAxes } from './site-axes.ts';

/**
 * What the channels of a group are. 'heads': whole attention heads with what shares their keys; 'neurons': inner units of
 * products; 'channels': inner channels of convolutions; 'stream': a residual stream; 'states': recurrent cells.
 */
export type ChannelKind = 'heads' | 'neurons' | 'channels' | 'stream' | 'states';

/** Elements of a constant that belong to the channels of a group. */
export interface ChannelSlice {
  readonly value: Value;
  /** Axis of the constant. */
  readonly axis: number;
  /** Elements of that axis for each channel of the group. */
  readonly elements: readonly (readonly number[])[];
}

/** What a site has to do with the channels of a group. */
export interface SiteUse {
  readonly site: Site;
  /** Rows (of producers) or columns (of consumers) of the site's matrix for each channel of the group. */
  readonly lines: readonly (readonly number[])[];
}

/** Channels that are alike: each may be removed by itself, from every constant that it lies in. */
export interface ChannelGroup {
  /** Unique: the kind and the first site that computes the channels. */
  readonly name: string;
  readonly kind: ChannelKind;
  readonly count: number;
  readonly slices: readonly ChannelSlice[];
  /** Sites that compute the channels, by rows. */
  readonly producers: readonly SiteUse[];
  /** Sites that read the channels, by columns. */
  readonly consumers: readonly SiteUse[];
  /** An operator that takes statistics over the channels, if any: then removing even a dead channel changes the rest. */
  readonly statistics: string | undefined;
  /** Number of the block that all sites of the group stand in. */
  readonly block: number | undefined;
}

/** Channels that a site computes and that cannot be removed. */
export interface ExcludedChannels {
  readonly site: string;
  readonly count: number;
  readonly reason: string;
}

/** Channels to remove: for each group by name, their numbers. */
export type RemovedChannels = ReadonlyMap<string, readonly number[]>;

/** What can be removed from a program. */
export interface ChannelGroups {
  readonly groups: readonly ChannelGroup[];
  readonly excluded: readonly ExcludedChannels[];
  /**
   * Removes channels from the program that was analysed, in place: constants, and the lengths that nodes hold. The
   * groups are not valid afterwards. @throws 'mismatch' where nothing of something would be left, internal errors when
   * the result does not hang together.
   */
  cut(removed: RemovedChannels): void;
}

const buildTable = (program: Program): AxisTable => {
  const table = new AxisTable(inferFacts(program).facts);
  for (const value of program.graph.inputs)
    if (!value.tensor) table.blockAll(value, `${value.name} is an input of the model`);
  for (const graph of graphsWithin(program.graph)) for (const node of graph.nodes) axisRuleOf(node)(node, table);
  for (const value of program.graph.outputs) table.blockAll(value, `${value.name} is an output of the model`);
  for (const graph of graphsWithin(program.graph))
    for (const value of graph.initializers)
      if (value.tensor instanceof PackedTensor) table.blockAll(value, `${value.name} is quantized`);
  return table;
};

/** The elements of one axis by the unit that they belong to. */
const elementsByUnit = (axis: Axis, table: AxisTable, atoms: Atoms): Map<number, number[]> => {
  const found = new Map<number, number[]>();
  for (let element = 0; element < table.size(axis); element++) {
    if (atoms.reasonAt(axis, element) !== undefined) continue;
    const unit = atoms.unitOf(axis, element);
    const list = found.get(unit);
    if (list) list.push(element);
    else found.set(unit, [element]);
  }
  return found;
};

/** Units with the same axes, in the order of their numbers. */
interface Family {
  readonly axes: readonly Axis[];
  readonly units: number[];
}

const familiesOf = (byAxis: ReadonlyMap<Axis, ReadonlyMap<number, readonly number[]>>): Family[] => {
  const axesOf = new Map<number, Axis[]>();
  const shapeOf = new Map<number, string[]>();
  for (const [axis, units] of byAxis)
    for (const [unit, elements] of units) {
      const known = axesOf.get(unit) ?? [];
      axesOf.set(unit, [...known, axis]);
      shapeOf.set(unit, [...(shapeOf.get(unit) ?? []), `${axis}×${elements.length}`]);
    }
  const families = new Map<string, Family>();
  for (const unit of [...axesOf.keys()].sort((a, b) => a - b)) {
    const key = shapeOf.get(unit)!.join();
    const family = families.get(key);
    if (family) family.units.push(unit);
    else families.set(key, { axes: axesOf.get(unit)!, units: [unit] });
  }
  return [...families.values()];
};

/** Lines of a site's matrix for elements of one of its axes: `each` lines an element, one after the other. */
const linesOf = (elements: readonly (readonly number[])[], each: number): number[][] =>
  elements.map((list) => list.flatMap((element) => Array.from({ length: each }, (_, index) => element * each + index)));

const kindOf = (
  family: Family,
  producers: readonly SiteUse[],
  consumers: readonly SiteUse[],
  table: AxisTable,
): ChannelKind => {
  const ops = new Set(producers.map(({ site }) => site.op));
  if (ops.has('LSTM') || ops.has('GRU')) return 'states';
  if (family.axes.some((axis) => table.isSummed(axis) || table.statisticsOver(axis) !== undefined)) return 'stream';
  const several = (use: SiteUse): boolean => (use.lines[0]?.length ?? 0) > 1;
  const products = (use: SiteUse): boolean => use.site.op === 'MatMul' || use.site.op === 'Gemm';
  if (
    producers.some((use) => products(use) && several(use)) ||
    (producers.every(products) && consumers.some((use) => products(use) && several(use)))
  )
    return 'heads';
  return ops.has('Conv') || ops.has('ConvTranspose') ? 'channels' : 'neurons';
};

/**
 * Finds which channels of a program can be removed, by following every axis through the graph: what is added, joined,
 * reshaped, normalised or multiplied together goes together (DepGraph, Fang et al. 2023, on axes instead of layers).
 */
export const findChannelGroups = (program: Program): ChannelGroups => {
  const table = buildTable(program);
  const atoms = new Atoms(table);
  const sites = findSites(program);
  const byAxis = new Map<Axis, Map<number, number[]>>();
  for (const axis of table.roots()) {
    if (!table.places(axis).some(({ value }) => constantOf(value))) continue;
    const units = elementsByUnit(axis, table, atoms);
    if (units.size > 0) byAxis.set(axis, units);
  }
  const groups: ChannelGroup[] = [];
  const unitsOfGroup = new Map<string, readonly number[]>();
  const names = new Map<string, number>();
  for (const family of familiesOf(byAxis)) {
    const group = describe(family, byAxis, table, sites, names);
    if (!group) continue;
    groups.push(group);
    unitsOfGroup.set(group.name, family.units);
  }
  return {
    groups,
    excluded: excludedSites(sites, table, atoms),
    cut: (removed) => {
      const gone = new Set<number>();
      for (const [name, channels] of removed) {
        const units = unitsOfGroup.get(name);
        for (const channel of channels) gone.add(units![channel]!);
      }
      cutProgram(program, table, (axis, element) => gone.has(atoms.unitOf(axis, element)));
    },
  };
};

const describe = (
  family: Family,
  byAxis: ReadonlyMap<Axis, ReadonlyMap<number, readonly number[]>>,
  table: AxisTable,
  sites: readonly Site[],
  names: Map<string, number>,
): ChannelGroup | undefined => {
  const elementsOn = (axis: Axis): (readonly number[])[] => family.units.map((unit) => byAxis.get(axis)!.get(unit)!);
  const axes = new Set(family.axes);
  const slices = family.axes.flatMap((axis) =>
    table
      .places(axis)
      .filter(({ value }) => constantOf(value))
      .map(({ value, axis: at }): ChannelSlice => ({ value, axis: at, elements: elementsOn(axis) })),
  );
  const uses = (side: 'rows' | 'columns'): SiteUse[] =>
    sites.flatMap((site): SiteUse[] => {
      const found = siteAxes(site)[side];
      const axis = found && table.at(site.weight, found.axis);
      if (axis === undefined || !axes.has(axis)) return [];
      return [{ site, lines: linesOf(elementsOn(axis), found!.lines) }];
    });
  const producers = uses('rows');
  const consumers = uses('columns');
  const [first] = producers;
  if (!first) return undefined;
  const kind = kindOf(family, producers, consumers, table);
  const statistics = family.axes.map((axis) => table.statisticsOver(axis)).find((found) => found !== undefined);
  const blocks = new Set([...producers, ...consumers].map(({ site }) => site.block));
  const wish = `${kind} of ${first.site.name}`;
  const number = names.get(wish) ?? 0;
  names.set(wish, number + 1);
  return {
    name: number === 0 ? wish : `${wish} (${number + 1})`,
    kind,
    count: family.units.length,
    slices,
    producers,
    consumers,
    statistics,
    block: blocks.size === 1 ? [...blocks][0] : undefined,
  };
};

/** Rows of sites that cannot go, by reason. */
const excludedSites = (sites: readonly Site[], table: AxisTable, atoms: Atoms): ExcludedChannels[] =>
  sites.flatMap((site) => {
    const rows = siteAxes(site).rows;
    const axis = rows && table.at(site.weight, rows.axis);
    if (axis === undefined) return [];
    const counts = new Map<string, number>();
    for (let element = 0; element < table.size(axis); element++) {
      const reason = atoms.reasonAt(axis, element);
      if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
    return [...counts].map(
      ([reason, count]): ExcludedChannels => ({ site: site.name || labelOf(site.node), count, reason }),
    );
  });
