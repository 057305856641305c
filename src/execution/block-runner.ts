import { type Block, findBlocks } from '../analysis/blocks.ts';
import { extractSegment } from '../analysis/segment.ts';
import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import type { DataType } from '../ir/data-type.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { Emit } from '../recipe/events.ts';
import { ActivationStore } from './activation-store.ts';
import { bindingOf, bindSample, runSample } from './feeds.ts';
import { checkSignal } from './interrupt.ts';
import { feedObservers, groupByValue, type Observation } from './observe.ts';
import { type Engine, type Feeds, type Session, withSession } from './session.ts';

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
}

/** The last block that reads each value. */
const lastReaders = (blocks: readonly Block[]): Map<Value, number> => {
  const last = new Map<Value, number>();
  for (const block of blocks) for (const value of block.inputs) last.set(value, block.index);
  return last;
};

/** Feeds of every run into the store; gives their number. Sequences are run as a whole for the state they carry. */
const storeInputs = async (
  options: BlockRunOptions,
  blocks: readonly Block[],
  store: ActivationStore,
): Promise<number> => {
  const { program, dataset, engine, signal } = options;
  const binding = bindingOf(program);
  const inputs = new Set(program.graph.inputs);
  const needed = new Set(
    blocks.flatMap((block) => block.inputs.filter((value) => inputs.has(value)).map(({ name }) => name)),
  );
  let session: Session | undefined;
  let runs = 0;
  const keep = (feeds: Feeds): void => {
    for (const [name, array] of feeds) if (needed.has(name)) store.put(name, runs, array);
    runs++;
  };
  try {
    for (let index = 0; index < dataset.length; index++) {
      checkSignal(signal);
      const sample = await dataset.sample(index);
      const item = `sample ${index} of ${dataset.description}`;
      if (sample.kind === 'sequence') {
        session ??= await engine.open(program, { signal, scratchDirectory: options.scratch.directory });
        for await (const { feeds } of runSample(session, sample, binding, item)) keep(feeds);
      } else keep(bindSample(sample, binding, item));
    }
  } finally {
    await session?.close();
  }
  return runs;
};

/**
 * Walks a program block by block over all samples. For each block the visitor may observe values in passes over the
 * data, and replace the block's weights; the next block is then fed with what the block, as it has become, computes.
 * Activations are kept only as long as a later block reads them.
 */
export const runBlocks = async (
  options: BlockRunOptions,
  visit: (visit: BlockVisit) => Promise<void>,
): Promise<void> => {
  const { program, engine, signal, emit, scratch } = options;
  const blocks = options.blocks ?? findBlocks(program);
  const last = lastReaders(blocks);
  const store = new ActivationStore(scratch.directory, options.maxMemoryBytes);
  const types = new Map<string, DataType>();
  try {
    const runCount = await storeInputs(options, blocks, store);

    /** Runs a block over everything; `seen` gets the wanted values of each run. */
    const pass = async (
      block: Block,
      wanted: readonly Value[],
      seen: (run: number, arrays: ReadonlyMap<string, NumericArray>) => void | Promise<void>,
      stage: string,
    ): Promise<void> => {
      const segment = extractSegment(program, block, (value) => types.get(value.name));
      const fetch = wanted.map((value) => {
        const found = segment.valueOf(value);
        if (found) return found;
        throw internalError(`the value ${value.name} is not part of ${block.name}`);
      });
      const names = fetch.map((value) => value.name);
      await withSession(
        engine,
        segment.program,
        { fetch, signal, scratchDirectory: scratch.directory },
        async (session) => {
          for (let run = 0; run < runCount; run++) {
            checkSignal(signal);
            const feeds = new Map(block.inputs.map(({ name }) => [name, store.get(name, run)]));
            await seen(run, await session.run(feeds, names));
            const task = `${options.task}: ${block.name}, ${stage}`;
            emit({ type: 'progress', task, done: run + 1, total: runCount, unit: 'runs', item: block.name });
          }
        },
      );
    };

    for (const block of blocks) {
      await visit({
        block,
        blockCount: blocks.length,
        runCount,
        observe: async (observations) => {
          const byValue = groupByValue(observations);
          if (byValue.size === 0) return;
          await pass(block, [...byValue.keys()], (run, arrays) => feedObservers(byValue, arrays, run), 'observing');
        },
      });
      const outputs = block.outputs.filter((value) => (last.get(value) ?? -1) > block.index);
      const finished = block.inputs.filter((value) => last.get(value) === block.index);
      const keep = (run: number, arrays: ReadonlyMap<string, NumericArray>): void => {
        for (const { name } of finished) store.free(name, run);
        for (const { name } of outputs) {
          const array = arrays.get(name);
          if (!array) throw internalError(`${block.name} did not compute ${name}`);
          types.set(name, array.dtype);
          store.put(name, run, array);
        }
      };
      if (outputs.length > 0) await pass(block, outputs, keep, 'computing');
      else for (let run = 0; run < runCount; run++) keep(run, new Map());
    }
  } finally {
    store.close();
  }
};
