import { findResidualWriters } from '../../analysis/residual-writers.ts';
import type { Node, Program, Value } from '../../ir/graph.ts';
import { compileSelector } from '../select-sites.ts';
import type { Tie } from './options.ts';
import type { Unit } from './units.ts';

/** Disjoint sets of units (union by the earliest member). */
class Sets {
  readonly #parents: number[];

  constructor(count: number) {
    this.#parents = Array.from({ length: count }, (_, index) => index);
  }

  rootOf(index: number): number {
    const parent = this.#parents[index]!;
    return parent === index ? index : this.rootOf(parent);
  }

  join(members: readonly number[]): void {
    const roots = members.map((member) => this.rootOf(member));
    const first = Math.min(...roots);
    for (const root of roots) this.#parents[root] = first;
  }
}

/** Elementwise operators between two sums of one residual stream. */
const streamOperators = new Set(['Relu', 'Clip', 'Identity', 'LeakyRelu', 'Dropout', 'BatchNormalization']);

/** The sum that a value comes from, through elementwise operators. */
const sumBehind = (value: Value | undefined): Value | undefined => {
  let at = value;
  while (at?.producer && streamOperators.has(at.producer.op)) at = at.producer.inputs[0];
  return at;
};

/** Indices of units whose sites write to one residual stream. */
const residualGroups = (program: Program, units: readonly Unit[]): number[][] => {
  const writers = findResidualWriters(program);
  const streams = [...new Set(writers.map(({ stream }) => stream))];
  const sets = new Sets(streams.length);
  for (const [index, stream] of streams.entries())
    for (const input of stream.producer?.inputs ?? []) {
      const before = sumBehind(input);
      const known = before ? streams.indexOf(before) : -1;
      if (known >= 0) sets.join([index, known]);
    }
  const groups = new Map<number, Set<number>>();
  for (const { site, stream } of writers) {
    const unit = units.findIndex(({ weight }) => weight === site.weight);
    const root = sets.rootOf(streams.indexOf(stream));
    if (unit >= 0) groups.set(root, (groups.get(root) ?? new Set()).add(unit));
  }
  return [...groups.values()].map((members) => [...members]);
};

const groupedBy = <Key>(units: readonly Unit[], keysOf: (unit: Unit) => readonly (Key | undefined)[]): number[][] => {
  const groups = new Map<Key, number[]>();
  for (const [index, unit] of units.entries())
    for (const key of keysOf(unit)) if (key !== undefined) groups.set(key, [...(groups.get(key) ?? []), index]);
  return [...groups.values()];
};

const groupsOf = (tie: Tie, program: Program, units: readonly Unit[]): number[][] => {
  if (tie === 'inputs') return groupedBy<Value>(units, ({ sites }) => sites.map(({ input }) => input));
  if (tie === 'block') return groupedBy<number>(units, ({ sites }) => sites.map(({ block }) => block));
  if (tie === 'residual') return residualGroups(program, units);
  const selectors = tie.map(compileSelector);
  const matched = units.flatMap(({ sites }, index) =>
    sites.some((site) => selectors.some((selector) => selector.matches(site))) ? [index] : [],
  );
  return [matched];
};

/**
 * Units that must be given one format, in order: those that the options tie, and those that one node holds (a recurrent
 * layer's two matrices have one place for an allocation).
 */
export const tiedUnits = (program: Program, units: readonly Unit[], ties: readonly Tie[]): Unit[][] => {
  const sets = new Sets(units.length);
  const byNode = groupedBy<Node>(units, ({ sites }) => sites.map(({ node }) => node));
  for (const group of [...byNode, ...ties.flatMap((tie) => groupsOf(tie, program, units))])
    if (group.length > 1) sets.join(group);
  const tied = new Map<number, Unit[]>();
  for (const [index, unit] of units.entries()) {
    const root = sets.rootOf(index);
    tied.set(root, [...(tied.get(root) ?? []), unit]);
  }
  return [...tied.values()];
};
