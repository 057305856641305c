import type { Block } from '../../analysis/blocks.ts';
import { extractSegment } from '../../analysis/segment.ts';
import type { NumericArray } from '../../calibration/dataset.ts';
import { ActivationStore } from '../../execution/activation-store.ts';
import { addArrays } from '../../execution/arrays.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import { type Engine, type Feeds, withSession } from '../../execution/session.ts';
import type { DataType } from '../../ir/data-type.ts';
import type { Value } from '../../ir/graph.ts';
import type { Emit } from '../../recipe/events.ts';
import { buildBlockGradient } from './block-gradient.ts';
import { type BlockPart, type BlockwisePlan, type BlockwiseRequest, planBlockwise } from './plan.ts';

export interface BackwardWalkOptions extends BlockwiseRequest {
  readonly engine: Engine;
  readonly runCount: number;
  /** What the program is fed with in a run; asked for once a run, in order. */
  feeds(run: number): Promise<Feeds>;
  /** Bytes of activations in memory; beyond it they are spilled to the scratch folder. */
  readonly maxMemoryBytes: number;
  readonly scratch: { readonly directory: string };
  /** Task of progress events, such as 'curvature'. */
  readonly task: string;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** What one run of one block shows. */
export interface BlockGradients {
  readonly block: Block;
  readonly run: number;
  /**
   * Gradients of the requested values. A value that is computed in one block is shown there, whole. Constants and
   * inputs are shown in every block that reads them: the gradient is the sum over blocks.
   */
  readonly gradients: ReadonlyMap<Value, NumericArray>;
  /** The watched values, each in one block. */
  readonly values: ReadonlyMap<Value, NumericArray>;
}

/**
 * Gradients of a program whose activations do not fit into memory together: one pass forward that keeps only what
 * passes from block to block, then the blocks from the last to the first, each computing its own activations again
 * (Chen et al. 2016, with the blocks as checkpoints). One block's session is open at a time, for all runs; what is kept
 * spills to disk. Gradients are those of `appendGradients` up to rounding.
 * @param visit sees every block that has something to show, runs in order; its arrays must not be changed.
 * @returns requested values that no gradient reached.
 * @throws as `planBlockwise`, before anything runs.
 */
export const walkBackward = async (
  options: BackwardWalkOptions,
  visit: (seen: BlockGradients) => void | Promise<void>,
): Promise<readonly Value[]> => {
  const plan = planBlockwise(options);
  const walk = new BackwardWalk(options, plan);
  try {
    await walk.start();
    for (const part of [...plan.parts.slice(0, -1), ...(plan.behind.length > 0 ? plan.parts.slice(-1) : [])])
      await walk.forward(part);
    for (const part of plan.behind) await walk.forward(part);
    for (const part of [...plan.parts].reverse()) await walk.back(part, visit);
    return walk.unreached;
  } finally {
    walk.close();
  }
};

const gradientKey = (value: Value): string => `gradient of ${value.name}`;

/** Activations and gradients of all runs at one place of a program. */
class BackwardWalk {
  readonly #options: BackwardWalkOptions;
  readonly #plan: BlockwisePlan;
  readonly #store: ActivationStore;
  readonly #types = new Map<Value, DataType>();
  /** Values whose gradients are kept. */
  readonly #seeded = new Set<Value>();
  readonly #reached = new Set<Value>();

  constructor(options: BackwardWalkOptions, plan: BlockwisePlan) {
    this.#options = options;
    this.#plan = plan;
    this.#store = new ActivationStore(options.scratch.directory, options.maxMemoryBytes);
  }

  get unreached(): readonly Value[] {
    return this.#options.of.filter((value) => !this.#reached.has(value));
  }

  /** Takes in what the program is fed with. */
  async start(): Promise<void> {
    const { program, runCount, feeds, signal } = this.#options;
    const needed = new Set(
      program.graph.inputs.filter((value) => this.#plan.firstReader.has(value)).map(({ name }) => name),
    );
    for (let run = 0; run < runCount; run++) {
      checkSignal(signal);
      for (const [name, array] of await feeds(run)) if (needed.has(name)) this.#store.put(name, run, array);
    }
  }

  /** Computes what later blocks read of this one, and the seed where it is computed apart from the loss. */
  async forward({ block, kept }: BlockPart): Promise<void> {
    const { program, engine, scratch, signal, loss, seed, runCount } = this.#options;
    const apart = this.#plan.seedBlock === block ? seed : undefined;
    const wanted = [...new Set([...kept, ...(apart ? [apart] : [])])];
    if (wanted.length === 0) return;
    const outputs = [...new Set([...block.outputs, ...wanted])];
    const segment = extractSegment(program, { ...block, outputs }, (value) => this.#types.get(value));
    const options = { signal, scratchDirectory: scratch.directory };
    await withSession(engine, segment.program, options, async (session) => {
      for (let run = 0; run < runCount; run++) {
        const names = wanted.map(({ name }) => name);
        const arrays = await session.run(this.#feeds(block, run), names);
        for (const value of wanted) {
          const array = arrays.get(value.name)!;
          this.#types.set(value, array.dtype);
          if (kept.includes(value)) this.#store.put(value.name, run, array);
          if (value === apart) this.#store.put(gradientKey(loss), run, array);
        }
        this.#report(block, 'forward', run);
      }
    });
    if (apart) this.#seeded.add(loss);
  }

  /** Computes a block again, shows its gradients, hands those of its inputs on and lets go what only it has read. */
  async back(part: BlockPart, visit: (seen: BlockGradients) => void | Promise<void>): Promise<void> {
    const { program, engine, scratch, signal, loss, seed, runCount } = this.#options;
    const { block } = part;
    const holdsLoss = part === this.#plan.parts.at(-1);
    const seeded = [...new Set([...block.outputs, ...(holdsLoss ? [loss] : [])])].filter((value) =>
      this.#seeded.has(value),
    );
    const start = holdsLoss && !this.#plan.seedBlock ? { loss, seed } : undefined;
    const gradient = buildBlockGradient({ program, part, seeded, start, typeOf: (value) => this.#types.get(value) });
    const shown = part.of.filter((value) => gradient.gradients.has(value));
    for (const value of shown) this.#reached.add(value);
    const handed = part.back.filter((value) => gradient.gradients.has(value));
    const options = { signal, scratchDirectory: scratch.directory, memory: 'lean' } as const;
    if (gradient.program.graph.outputs.length > 0)
      await withSession(engine, gradient.program, options, async (session) => {
        for (let run = 0; run < runCount; run++) {
          const feeds = new Map(this.#feeds(block, run));
          for (const [value, name] of gradient.seeds) feeds.set(name, this.#store.get(gradientKey(value), run));
          const arrays = await session.run(feeds);
          const pick = (values: readonly Value[], names: ReadonlyMap<Value, string>): Map<Value, NumericArray> =>
            new Map(values.map((value) => [value, arrays.get(names.get(value)!)!]));
          if (shown.length > 0 || part.watch.length > 0)
            await visit({
              block,
              run,
              gradients: pick(shown, gradient.gradients),
              values: pick(part.watch, gradient.values),
            });
          for (const [value, array] of pick(handed, gradient.gradients)) this.#contribute(value, run, array);
          this.#report(block, 'back', run);
        }
      });
    for (const value of handed) this.#seeded.add(value);
    this.#release(block);
  }

  close(): void {
    this.#store.close();
  }

  #feeds(block: Block, run: number): Feeds {
    return new Map(block.inputs.map(({ name }) => [name, this.#store.get(name, run)]));
  }

  #contribute(value: Value, run: number, array: NumericArray): void {
    const key = gradientKey(value);
    const sum = this.#seeded.has(value) ? addArrays(this.#store.get(key, run), array) : array;
    this.#store.put(key, run, sum);
  }

  #release(block: Block): void {
    for (let run = 0; run < this.#options.runCount; run++) {
      for (const value of block.inputs)
        if (this.#plan.firstReader.get(value) === block.index) this.#store.free(value.name, run);
      for (const value of block.outputs) this.#store.free(gradientKey(value), run);
    }
  }

  #report(block: Block, stage: string, run: number): void {
    const { task, runCount, emit } = this.#options;
    emit({
      type: 'progress',
      task: `${task}: ${block.name}, ${stage}`,
      done: run + 1,
      total: runCount,
      unit: 'runs',
      item: block.name,
    });
  }
}
