import type { ChannelGroup, RemovedChannels } from '../../analysis/channel-groups/groups.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import { bitsOf } from '../../ir/data-type.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferFacts } from '../../ir/inference/infer.ts';
import type { Shape } from '../../ir/shape.ts';
import { constantOf, graphsWithin } from '../../ir/walk.ts';
import { addCosts, noCost, type OptionCost } from '../options.ts';

/** What is counted: every constant, or only the weights of repeated blocks (all sites but lookups and heads, where there are none). */
export type CostScope = 'all' | 'blocks';

/** Sites whose weights count as those of blocks. */
export const blockSites = (program: Program): Site[] => {
  const sites = findSites(program);
  const numbered = sites.filter(({ block }) => block !== undefined);
  if (numbered.length > 0) return numbered;
  const outputs = new Set(program.graph.outputs);
  return sites.filter(({ op, output, weight }) => op !== 'Gather' && !outputs.has(output) && weight.uses.length === 1);
};

/** Output positions of an item: the fixed lengths of a site's output beside its rows and samples; symbolic ones count once. */
const positionsOf = (site: Site, shape: Shape | undefined): number => {
  if (!shape) return 1;
  const convolution = site.op === 'Conv' || site.op === 'ConvTranspose';
  const positions = convolution ? shape.slice(2) : shape.slice(1, -1);
  return positions.reduce<number>((count, length) => (typeof length === 'number' ? count * length : count), 1);
};

/** What the constants of a program cost, and what is left of it when channels go. */
export class WeightCosts {
  /** Cost of one element of a constant. */
  readonly #each = new Map<Value, OptionCost>();
  readonly total: OptionCost;

  constructor(program: Program, scope: CostScope) {
    const { facts } = inferFacts(program);
    const own = new Set(blockSites(program).map(({ weight }) => weight));
    for (const graph of graphsWithin(program.graph))
      for (const value of graph.initializers) {
        const tensor = value.tensor!;
        if (tensor.dtype === 'string' || (scope === 'blocks' && !own.has(value))) continue;
        this.#each.set(value, { bytes: bitsOf(tensor.dtype) / 8, parameters: 1, operations: 0 });
      }
    for (const site of findSites(program)) {
      if (site.op === 'Gather') continue;
      const type = facts.get(site.output)?.type ?? site.output.type;
      const operations = positionsOf(site, type?.kind === 'tensor' ? type.shape : undefined);
      const known = this.#each.get(site.weight);
      if (known) this.#each.set(site.weight, { ...known, operations: known.operations + operations });
    }
    this.total = this.#sum((value) => constantOf(value)!.shape);
  }

  /** The cost of what is left once channels are gone. */
  after(groups: readonly ChannelGroup[], removed: RemovedChannels): OptionCost {
    const gone = new Map<Value, Map<number, number>>();
    for (const group of groups) {
      const channels = removed.get(group.name) ?? [];
      if (channels.length === 0) continue;
      for (const { value, axis, elements } of group.slices) {
        const axes = gone.get(value) ?? new Map<number, number>();
        const count = channels.reduce((sum, channel) => sum + elements[channel]!.length, 0);
        gone.set(value, axes.set(axis, (axes.get(axis) ?? 0) + count));
      }
    }
    return this.#sum((value) =>
      constantOf(value)!.shape.map((length, axis) => length - (gone.get(value)?.get(axis) ?? 0)),
    );
  }

  /** What removing one channel of a group saves while everything else stays. */
  saving(group: ChannelGroup, channel: number): OptionCost {
    let saved = noCost;
    for (const { value, axis, elements } of group.slices) {
      const each = this.#each.get(value);
      if (!each) continue;
      const shape = constantOf(value)!.shape;
      const count = shape.reduce((size, length, at) => size * (at === axis ? elements[channel]!.length : length), 1);
      saved = addCosts(saved, scaled(each, count));
    }
    return saved;
  }

  #sum(shapeOf: (value: Value) => readonly number[]): OptionCost {
    let sum = noCost;
    for (const [value, each] of this.#each)
      sum = addCosts(
        sum,
        scaled(
          each,
          shapeOf(value).reduce((size, length) => size * length, 1),
        ),
      );
    return sum;
  }
}

const scaled = ({ bytes, parameters, operations }: OptionCost, by: number): OptionCost => ({
  bytes: bytes * by,
  parameters: parameters * by,
  operations: operations * by,
});
