import { type Block, findBlocks } from '../../analysis/blocks.ts';
import { findSites } from '../../analysis/sites.ts';
import { upgradeOpset } from '../../artifact/formats/onnx/lower/opset.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { ProgramVariant } from '../measured.ts';
import { computedValues, graft, type Region, type Units } from './region.ts';

/** A region that takes the place of what a program computes, with other numbers for some of its constants. */
export interface Replacement {
  readonly region: Region;
  readonly constants?: ReadonlyMap<Value, Tensor>;
}

/** The blocks of a program; all of it as one where some output depends on no product that blocks are made around. */
const blocksWith = (program: Program, outputs: readonly Value[]): readonly Block[] => {
  const blocks = findBlocks(program);
  const made = new Set(blocks.flatMap(({ nodes }) => nodes.flatMap((node) => node.outputs)));
  if (outputs.every((value) => made.has(value))) return blocks;
  const { nodes, inputs } = program.graph;
  const whole = { index: 0, name: 'whole', nodes, inputs: inputs.filter(({ tensor }) => !tensor), outputs };
  return [{ ...whole, sites: findSites(program) }];
};

/** Where values of a program are computed, and from which block on they can be had. */
export class VariantPlaces {
  readonly blocks: readonly Block[];
  readonly #known: ReadonlyMap<string, Value>;
  readonly #madeIn = new Map<Value, number>();
  /** The last block that reads each value, through its own nodes or as an input. */
  readonly #readUpTo = new Map<Value, number>();
  readonly #latest: number;
  readonly #units: Units;

  /**
   * @param outputs names of the outputs that must come after every variant's first block
   * @param units of this program against those of the one that replacements come from
   */
  constructor(program: Program, outputs: ReadonlySet<string>, units: Units) {
    this.#units = units;
    const ends = program.graph.outputs.filter(({ name }) => outputs.has(name));
    this.blocks = blocksWith(program, ends);
    this.#known = computedValues(program.graph);
    for (const { index, nodes, inputs } of this.blocks) {
      for (const node of nodes) {
        for (const value of node.outputs) if (value) this.#madeIn.set(value, index);
        for (const value of node.inputs) if (value) this.#readUpTo.set(value, index);
      }
      for (const value of inputs) this.#readUpTo.set(value, index);
    }
    this.#latest = Math.min(...ends.map((value) => this.#madeIn.get(value) ?? 0));
  }

  /** The block that a variant with these replacements begins in. */
  startOf(replacements: readonly Replacement[]): number {
    return Math.min(this.#latest, ...replacements.map(({ region }) => this.#startOf(region)));
  }

  #startOf({ output, reads }: Region): number {
    const own = this.#madeIn.get(this.#known.get(output.name)!) ?? 0;
    const starts = reads.map(({ name }) => {
      const value = this.#known.get(name)!;
      const made = this.#madeIn.get(value);
      // What an earlier block computes and nothing reads from here on is not kept: begin where it is computed.
      return (this.#readUpTo.get(value) ?? -1) >= own ? own : Math.min(own, made ?? 0);
    });
    return Math.min(own, ...starts);
  }

  variant(name: string, replacements: readonly Replacement[]): ProgramVariant {
    return {
      name,
      from: this.startOf(replacements),
      edit: (part) => {
        for (const { region, constants } of replacements) graft(part, region, constants, this.#units);
      },
    };
  }
}

/** Copies of two programs between which nodes can be exchanged: with the same versions of operators, and known types. */
export const withSameOperators = (first: Program, second: Program): readonly [Program, Program] => {
  const copies = [cloneProgram(first), cloneProgram(second)] as const;
  const newest = Math.max(...copies.map(({ opsets }) => opsets.get('') ?? 1));
  for (const copy of copies) {
    if ((copy.opsets.get('') ?? 1) < newest) upgradeOpset(copy, newest);
    for (const { opsets } of copies)
      for (const [domain, version] of opsets) if (!copy.opsets.has(domain)) copy.opsets.set(domain, version);
    inferShapes(copy);
    copy.irVersion = Math.max(...copies.map(({ irVersion }) => irVersion));
  }
  return copies;
};
