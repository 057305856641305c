import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Block, findBlocks } from '../analysis/blocks.ts';
import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { cloneProgram } from '../ir/clone.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { Emit } from '../recipe/events.ts';
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
  /** Default: findBlocks(program). */
  readonly blocks?: readonly Block[];
  /** Bytes of activations in memory; beyond it they are spilled to the scratch folder. */
  readonly maxMemoryBytes: number;
  /**
   * Walk the program as it was at the start beside the changed one, so that `observePairs` can show both. Takes twice
   * the time and the memory.
   */
  readonly original?: 'walked' | undefined;
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
   * in the order of samples. Values must be inputs of the block or computed in it.
   */
  observe(observations: readonly Observation[]): Promise<void>;
  /** As `observe`, with the same value of the program as it was at the start; needs `original: 'walked'`. */
  observePairs(observations: readonly PairObservation[]): Promise<void>;
}

/** A statistic of a value beside what it was in the program at the start. */
export interface PairObservation {
  readonly value: Value;
  observe(original: NumericArray, present: NumericArray, run: number): void | Promise<void>;
}

/** The walk over the program as it is before anything changes. */
const walkOriginal = (options: BlockRunOptions, budget: number): { walk: BlockWalk; blocks: readonly Block[] } => {
  const program = cloneProgram(options.program);
  const blocks = findBlocks(program);
  const directory = join(options.scratch.directory, 'original');
  mkdirSync(directory, { recursive: true });
  return {
    walk: new BlockWalk({ ...options, program, blocks, maxMemoryBytes: budget, scratch: { directory } }),
    blocks,
  };
};

/** The value of this name among those that a block reads or computes. */
const namesake = (block: Block, value: Value): Value => {
  const computed = block.nodes.flatMap((node) => node.outputs).find((output) => output?.name === value.name);
  const found = computed ?? block.inputs.find((input) => input.name === value.name);
  if (found) return found;
  throw internalError(`the value ${value.name} is not part of ${block.name} of the original program`);
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
  const blocks = options.blocks ?? findBlocks(program);
  const budget = options.original ? options.maxMemoryBytes / 2 : options.maxMemoryBytes;
  const walk = new BlockWalk({ ...options, blocks, maxMemoryBytes: budget });
  const beside = options.original ? walkOriginal(options, budget) : undefined;
  const observePairs = async (block: Block, observations: readonly PairObservation[]): Promise<void> => {
    if (!beside) throw internalError('pairs can only be observed where the original is walked too');
    if (observations.length === 0) return;
    const values = [...new Set(observations.map(({ value }) => value))];
    const originalBlock = beside.blocks[block.index]!;
    const originals = values.map((value) => namesake(originalBlock, value));
    await walk.lend(block, values, (present) =>
      beside.walk.lend(originalBlock, originals, async (original) => {
        for (let run = 0; run < walk.runCount; run++) {
          const [before, now] = [await original(run), await present(run)];
          for (const { value, observe } of observations)
            await observe(before.get(value.name)!, now.get(value.name)!, run);
          walk.report(block, 'observing pairs', run);
        }
      }),
    );
  };
  try {
    await walk.start();
    await beside?.walk.start();
    for (const block of blocks) {
      await visit({
        block,
        blockCount: blocks.length,
        runCount: walk.runCount,
        observe: async (observations) => {
          const byValue = groupByValue(observations);
          if (byValue.size === 0) return;
          await walk.pass(
            block,
            [...byValue.keys()],
            (run, arrays) => feedObservers(byValue, arrays, run),
            'observing',
          );
        },
        observePairs: (observations) => observePairs(block, observations),
      });
      await walk.advance(block);
      if (beside) await beside.walk.advance(beside.blocks[block.index]!);
    }
  } finally {
    walk.close();
    beside?.walk.close();
  }
};
