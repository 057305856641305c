import type { Graph } from '../graph.ts';
import { graphsWithin } from '../walk.ts';

const rootOf = (graph: Graph): Graph => {
  let root = graph;
  while (root.parent) root = root.parent;
  return root;
};

/** Hands out names that no value and no node of the whole program part around a graph has. */
export interface NameSource {
  /** `base` when it is free, else `base_1`, `base_2`, …; the name counts as taken from then on. */
  fresh(base: string): string;
}

/**
 * Names free in a graph, its enclosing graphs and all their bodies. Collects the names once: ask it for many names,
 * and make a new one after renaming by hand.
 */
export const nameSource = (graph: Graph): NameSource => {
  const taken = new Set<string>();
  for (const inner of graphsWithin(rootOf(graph))) {
    for (const value of inner.inputs) taken.add(value.name);
    for (const value of inner.initializers) taken.add(value.name);
    for (const value of inner.outputs) taken.add(value.name);
    for (const node of inner.nodes) {
      taken.add(node.name);
      for (const value of node.outputs) if (value) taken.add(value.name);
    }
  }
  const nextSuffix = new Map<string, number>();
  return {
    fresh(base) {
      let suffix = nextSuffix.get(base) ?? 0;
      let name = suffix === 0 ? base : `${base}_${suffix}`;
      while (taken.has(name) || name === '') name = `${base}_${++suffix}`;
      nextSuffix.set(base, suffix);
      taken.add(name);
      return name;
    },
  };
};

/** One free name near a graph (see nameSource, which is cheaper for many). */
export const freshName = (graph: Graph, base: string): string => nameSource(graph).fresh(base);
