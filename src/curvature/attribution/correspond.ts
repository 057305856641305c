import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import type { Graph, Program, Value } from '../../ir/graph.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { constantOf } from '../../ir/walk.ts';
import { computedValues, firstReader, type Region, regionOf, sameRegion } from './region.ts';

/** A weight product of one program, and what computes the same value in another. */
export interface SitePair {
  /** Of the first program. */
  readonly site: Site;
  /** How the first program computes its output, and how the second does: from values that both have. */
  readonly first: Region;
  readonly second: Region;
  /** The weight as the second program holds it, where that is packed integers. */
  readonly packed: PackedTensor | undefined;
}

/** Sites of one constant: they change together. Named after the first of them. */
export interface SiteUnit {
  readonly name: string;
  readonly pairs: readonly [SitePair, ...SitePair[]];
}

export interface Correspondence {
  /** Units whose product is computed in another way, or with other numbers. */
  readonly changed: readonly SiteUnit[];
  /** Pairs that do the same with the same numbers. */
  readonly same: readonly SitePair[];
  /** Sites of the first program that are not compared, each with the reason. */
  readonly unmatched: readonly { readonly site: Site; readonly reason: string }[];
}

const shapeText = ({ type }: Value): string | undefined =>
  type?.kind === 'tensor' && type.shape ? `[${type.shape.map((dim) => dim ?? '?').join(', ')}]` : undefined;

/** True where both shapes are known and two numbers of them differ. */
const differ = (a: Value, b: Value): boolean => {
  const [one, other] = [a, b].map(({ type }) => (type?.kind === 'tensor' ? type.shape : undefined));
  if (!one || !other) return false;
  return (
    one.length !== other.length ||
    one.some((dim, axis) => typeof dim === 'number' && typeof other[axis] === 'number' && dim !== other[axis])
  );
};

/** True when what the region reads is there in a graph before anything reads the value that it is to compute. */
const fitsInto = (graph: Graph, region: Region, known: ReadonlyMap<string, Value>): boolean => {
  const before = firstReader(graph, known.get(region.output.name)!);
  const end = before ? graph.nodes.indexOf(before) : graph.nodes.length;
  return region.reads.every(({ name }) => {
    const { producer } = known.get(name)!;
    return !producer || graph.nodes.indexOf(producer) < end;
  });
};

const packedIn = (region: Region, site: Site): PackedTensor | undefined =>
  region.constants
    .map(constantOf)
    .find(
      (tensor): tensor is PackedTensor =>
        tensor instanceof PackedTensor && tensor.facts.rows === site.rows && tensor.facts.columns === site.columns,
    );

/**
 * Finds what the sites of a program have become in another one, by the names of the values that they compute: names stay
 * when weights are packed, rounded, or computed with in integers. Sites in the bodies of control-flow nodes are left out.
 */
export const correspondingSites = (first: Program, second: Program): Correspondence => {
  const known = { first: computedValues(first.graph), second: computedValues(second.graph) };
  const units = new Map<Value, SitePair[]>();
  const same: SitePair[] = [];
  const unmatched: { site: Site; reason: string }[] = [];
  const pairOf = (site: Site): SitePair | string => {
    if (site.graph !== first.graph) return 'it stands in the body of a control-flow node';
    const value = known.second.get(site.output.name);
    if (!value?.producer) return `the other model has no value ${site.output.name}`;
    if (differ(site.output, value)) return `its output is ${shapeText(site.output)}, there it is ${shapeText(value)}`;
    const regions = {
      first: regionOf(site.output, ({ name }) => known.second.has(name)),
      second: regionOf(value, ({ name }) => known.first.has(name)),
    };
    if (!regions.first?.nodes.includes(site.node) || !regions.second) return 'it is computed from other values there';
    const odd = regions.first.reads.find((read) => differ(read, known.second.get(read.name)!));
    if (odd) return `its input is ${shapeText(odd)}, there it is ${shapeText(known.second.get(odd.name)!)}`;
    if (!fitsInto(second.graph, regions.first, known.second) || !fitsInto(first.graph, regions.second, known.first))
      return 'it is computed in another order there';
    return { site, first: regions.first, second: regions.second, packed: packedIn(regions.second, site) };
  };
  for (const site of findSites(first)) {
    const pair = pairOf(site);
    if (typeof pair === 'string') unmatched.push({ site, reason: pair });
    else if (sameRegion(pair.first, pair.second)) same.push(pair);
    else units.set(site.weight, [...(units.get(site.weight) ?? []), pair]);
  }
  const changed = [...units.values()].map((pairs) => ({
    name: pairs[0]!.site.name,
    pairs: pairs as [SitePair, ...SitePair[]],
  }));
  return { changed, same, unmatched };
};

/** Bytes that the weight of a unit takes in the first program. */
export const originalBytes = ({ pairs: [{ site }] }: SiteUnit): number => siteTensor(site).byteLength;

/** Bytes that the weight of a unit takes in the second program: its codes and scales, or the constants of its region. */
export const presentBytes = ({ pairs: [{ packed, second }] }: SiteUnit): number => {
  if (!packed) return second.constants.reduce((sum, value) => sum + (constantOf(value)?.byteLength ?? 0), 0);
  const { rows, columns, storedBits, zeroPoints } = packed.facts;
  const perRow = Math.ceil((columns * storedBits) / 8) + packed.groups * 4;
  return rows * (perRow + (zeroPoints ? Math.ceil((packed.groups * storedBits) / 8) : 0));
};
