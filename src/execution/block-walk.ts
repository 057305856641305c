import type { Block } from '../analysis/blocks.ts';
import { extractSegment } from '../analysis/segment.ts';
import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import type { DataType } from '../ir/data-type.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { Emit } from '../recipe/events.ts';
import { ActivationStore } from './activation-store.ts';
import { bindingOf, bindSample, runSample } from './feeds.ts';
import { checkSignal } from './interrupt.ts';
import { type Engine, type Feeds, type Session, withSession } from './session.ts';

export interface BlockWalkOptions {
  readonly program: Program;
  readonly blocks: readonly Block[];
  readonly dataset: Dataset;
  readonly engine: Engine;
  readonly maxMemoryBytes: number;
  readonly scratch: { readonly directory: string };
  readonly task: string;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** The last block that reads each value. */
const lastReaders = (blocks: readonly Block[]): Map<Value, number> => {
  const last = new Map<Value, number>();
  for (const block of blocks) for (const value of block.inputs) last.set(value, block.index);
  return last;
};

/** Feeds of every run into the store; gives their number. Sequences are run as a whole for the state they carry. */
const storeInputs = async (
  options: BlockWalkOptions,
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

/** Runs one block over one set of feeds at a time. */
export type BlockRun = (run: number) => Promise<ReadonlyMap<string, NumericArray>>;

/**
 * The activations of all samples at one place of a program, moved forward block by block. Activations are kept only as
 * long as a later block reads them. Close it: it may hold files.
 */
export class BlockWalk {
  readonly #options: BlockWalkOptions;
  readonly #last: ReadonlyMap<Value, number>;
  readonly #store: ActivationStore;
  readonly #types = new Map<string, DataType>();
  /** Index of a block whose outputs are kept before the walk has moved past it. */
  #ahead: number | undefined;
  #runCount = 0;

  constructor(options: BlockWalkOptions) {
    this.#options = options;
    this.#last = lastReaders(options.blocks);
    this.#store = new ActivationStore(options.scratch.directory, options.maxMemoryBytes);
  }

  /** Runs of the model per pass; known after `start`. */
  get runCount(): number {
    return this.#runCount;
  }

  /** Takes in the feeds of every run. */
  async start(): Promise<void> {
    this.#runCount = await storeInputs(this.#options, this.#options.blocks, this.#store);
  }

  /** What a run has of values that the next block or a later one reads, by name. */
  feeds(names: readonly string[], run: number): Feeds {
    return new Map(names.map((name) => [name, this.#store.get(name, run)]));
  }

  /** The element type of a value that a block has computed. */
  typeOf(value: Value): DataType | undefined {
    return this.#types.get(value.name);
  }

  /**
   * Opens a block as the program now stands and lends a function that computes the wanted values of any run. Only what
   * they need is computed: the block's inputs are there already.
   */
  async lend<Result>(block: Block, wanted: readonly Value[], use: (run: BlockRun) => Promise<Result>): Promise<Result> {
    const { program, engine, scratch, signal } = this.#options;
    const given = new Set(block.inputs);
    const outputs = wanted.filter((value) => !given.has(value));
    const stored = wanted.filter((value) => given.has(value)).map(({ name }) => name);
    const fetchStored = (run: number): Map<string, NumericArray> => {
      checkSignal(signal);
      return new Map(this.feeds(stored, run));
    };
    if (outputs.length === 0) return use((run) => Promise.resolve(fetchStored(run)));
    const segment = extractSegment(program, { ...block, outputs }, (value) => this.typeOf(value));
    const fetch = outputs.map((value) => {
      const found = segment.valueOf(value);
      if (found) return found;
      throw internalError(`the value ${value.name} is not part of ${block.name}`);
    });
    const names = fetch.map((value) => value.name);
    const options = { fetch, signal, scratchDirectory: scratch.directory };
    return withSession(engine, segment.program, options, (session) =>
      use(async (run) => {
        const arrays = fetchStored(run);
        for (const [name, array] of await session.run(this.feeds(session.inputNames, run), names))
          arrays.set(name, array);
        return arrays;
      }),
    );
  }

  /**
   * As `lend`, for a block whose weights stay: what later blocks read is computed and kept on the way, so that moving
   * past the block takes no pass of its own. Nothing is computed ahead where the wanted values are there already.
   */
  async lendAhead<Result>(
    block: Block,
    wanted: readonly Value[],
    use: (run: BlockRun) => Promise<Result>,
  ): Promise<Result> {
    const outputs = this.#laterRead(block);
    if (this.#ahead === block.index || wanted.every((value) => block.inputs.includes(value)))
      return this.lend(block, wanted, use);
    const kept = new Set<number>();
    const result = await this.lend(block, [...new Set([...wanted, ...outputs])], (compute) =>
      use(async (run) => {
        const arrays = await compute(run);
        if (!kept.has(run)) this.#keep(block, outputs, run, arrays);
        kept.add(run);
        return arrays;
      }),
    );
    if (kept.size === this.#runCount) this.#ahead = block.index;
    return result;
  }

  /** One pass over all runs. */
  async pass(
    block: Block,
    wanted: readonly Value[],
    seen: (run: number, arrays: ReadonlyMap<string, NumericArray>) => void | Promise<void>,
    stage: string,
  ): Promise<void> {
    await this.lend(block, wanted, async (compute) => {
      for (let run = 0; run < this.#runCount; run++) {
        await seen(run, await compute(run));
        this.report(block, stage, run);
      }
    });
  }

  report(block: Block, stage: string, run: number): void {
    const task = `${this.#options.task}: ${block.name}, ${stage}`;
    this.#options.emit({
      type: 'progress',
      task,
      done: run + 1,
      total: this.#runCount,
      unit: 'runs',
      item: block.name,
    });
  }

  /** Computes what later blocks read of this one, and lets go what only it has read. */
  async advance(block: Block): Promise<void> {
    const outputs = this.#ahead === block.index ? [] : this.#laterRead(block);
    const finished = block.inputs.filter((value) => this.#last.get(value) === block.index);
    const move = (run: number, arrays: ReadonlyMap<string, NumericArray>): void => {
      for (const { name } of finished) this.#store.free(name, run);
      this.#keep(block, outputs, run, arrays);
    };
    if (outputs.length > 0) await this.pass(block, outputs, move, 'computing');
    else for (let run = 0; run < this.#runCount; run++) move(run, new Map());
  }

  close(): void {
    this.#store.close();
  }

  /** Outputs of a block that a later one reads. */
  #laterRead(block: Block): Value[] {
    return block.outputs.filter((value) => (this.#last.get(value) ?? -1) > block.index);
  }

  #keep(block: Block, outputs: readonly Value[], run: number, arrays: ReadonlyMap<string, NumericArray>): void {
    for (const { name } of outputs) {
      const array = arrays.get(name);
      if (!array) throw internalError(`${block.name} did not compute ${name}`);
      this.#types.set(name, array.dtype);
      this.#store.put(name, run, array);
    }
  }
}
