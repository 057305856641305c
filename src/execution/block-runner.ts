import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Block, findBlocks } from '../analysis/blocks.ts';
import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { cloneProgram } from '../ir/clone.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { Emit } from '../recipe/events.ts';
import { BesideWalk } from './beside-walk.ts';
import { BlockWalk } from './block-walk.ts';
import { feedObservers, groupByValue, type Observation } from './observe.ts';
import type { Engine } from './session.ts';

export interface BlockRunOptions {
  /**
   * The program that is walked. The visitor may replace constants of the block that it visits (setConstant): later
   * blocks then see what the changed block computes. Nodes must stay.
   */
  readonly program: Program;
  readonly dataset: Dataset;
  readonly engine: Engine;
  /** How the programs are cut into pieces, which are visited as blocks. Default findBlocks. */
  readonly cut?: (program: Program) => readonly Block[];
  /** Bytes of activations in memory; beyond it they are spilled to the scratch folder. */
  readonly maxMemoryBytes: number;
  /**
   * Walk another program beside the changed one, so that both can be observed: the program as it was at the start
   * ('walked'), or one whose values have the same names. Takes twice the time and the memory.
   */
  readonly original?: 'walked' | Program | undefined;
  readonly scratch: { readonly directory: string };
  /** Task of progress events, such as 'gptq'. */
  readonly task: string;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** What a visitor of a block can do. */
export interface BlockVisit {
  readonly block: Block;
  readonly blockCount: number;
  /** Runs of the model per pass: samples, or the steps of sequences. */
  readonly runCount: number;
  /**
   * One pass over all samples through the block as the program now stands: every observer sees its value once a run,
   * in the order of samples, pairs also a value of the original program (needs `original`). Values must be inputs of the
   * block or computed in it.
   */
  observe(observations: readonly Observation[], pairs?: readonly PairObservation[]): Promise<void>;
  /** As `observe`, with values of the original program beside several of this block; needs `original`. */
  observeBeside(observation: BesideObservation): Promise<void>;
  /** Whether the original has values of these names in one of the blocks that are still to come. */
  originalHas(names: readonly string[]): boolean;
}

/** A statistic of values of the block beside values of the original program; both by name. */
export interface BesideObservation {
  readonly original: readonly string[];
  readonly present: readonly Value[];
  observe(
    original: ReadonlyMap<string, NumericArray>,
    present: ReadonlyMap<string, NumericArray>,
    run: number,
  ): void | Promise<void>;
}

/** A statistic of a value beside what it, or another value, is in the original program. */
export interface PairObservation {
  readonly value: Value;
  /** Name of the value of the original program; the same where none is given. */
  readonly originalName?: string;
  observe(original: NumericArray, present: NumericArray, run: number): void | Promise<void>;
}

const walkBeside = (options: BlockRunOptions, original: 'walked' | Program, budget: number): BesideWalk => {
  const program = original === 'walked' ? cloneProgram(options.program) : original;
  const directory = join(options.scratch.directory, 'original');
  mkdirSync(directory, { recursive: true });
  const blocks = (options.cut ?? findBlocks)(program);
  return new BesideWalk({ ...options, program, blocks, maxMemoryBytes: budget, scratch: { directory } });
};

/**
 * Walks a program block by block over all samples. For each block the visitor may observe values in passes over the
 * data, and replace the block's weights; the next block is then fed with what the block, as it has become, computes.
 */
export const runBlocks = async (
  options: BlockRunOptions,
  visit: (visit: BlockVisit) => Promise<void>,
): Promise<void> => {
  const { program } = options;
  const blocks = (options.cut ?? findBlocks)(program);
  const budget = options.original ? options.maxMemoryBytes / 2 : options.maxMemoryBytes;
  const walk = new BlockWalk({ ...options, blocks, maxMemoryBytes: budget });
  const beside = options.original ? walkBeside(options, options.original, budget) : undefined;
  const besideOf = (): BesideWalk => {
    if (!beside) throw internalError('values can only be compared where the original is walked too');
    return beside;
  };
  const observeBeside = async (block: Block, { original, present, observe }: BesideObservation): Promise<void> => {
    const isRead = (name: string): boolean => block.inputs.some((input) => input.name === name);
    const how = [...original, ...present.map(({ name }) => name)].every(isRead) ? 'read' : 'computed';
    await walk.lend(block, present, (compute) =>
      besideOf().lend(original, how, async (computeOriginal) => {
        for (let run = 0; run < walk.runCount; run++) {
          await observe(await computeOriginal(run), await compute(run), run);
          walk.report(block, 'comparing', run);
        }
      }),
    );
  };
  const observe = async (
    block: Block,
    observations: readonly Observation[],
    pairs: readonly PairObservation[],
  ): Promise<void> => {
    const byValue = groupByValue(observations);
    const paired = pairs.map(({ value, originalName = value.name, observe }) => ({ value, originalName, observe }));
    const values = [...new Set([...byValue.keys(), ...paired.map(({ value }) => value)])];
    if (values.length === 0) return;
    if (paired.length === 0)
      return walk.pass(block, values, (run, arrays) => feedObservers(byValue, arrays, run), 'observing');
    await observeBeside(block, {
      original: [...new Set(paired.map(({ originalName }) => originalName))],
      present: values,
      observe: async (original, present, run) => {
        await feedObservers(byValue, present, run);
        for (const { value, originalName, observe } of paired)
          await observe(original.get(originalName)!, present.get(value.name)!, run);
      },
    });
  };
  try {
    await walk.start();
    await beside?.start();
    for (const block of blocks) {
      await visit({
        block,
        blockCount: blocks.length,
        runCount: walk.runCount,
        observe: (observations, pairs = []) => observe(block, observations, pairs),
        observeBeside: (observation) => observeBeside(block, observation),
        originalHas: (names) => besideOf().has(names),
      });
      await walk.advance(block);
    }
  } finally {
    walk.close();
    beside?.close();
  }
};
