import type { Block } from '../analysis/blocks.ts';
import { internalError } from '../errors.ts';
import type { Value } from '../ir/graph.ts';
import { type BlockRun, BlockWalk, type BlockWalkOptions } from './block-walk.ts';

/** The value of this name among those that a block computes or reads; what needs no product is computed where it is read. */
const namesake = (block: Block, name: string): Value | undefined =>
  block.nodes.flatMap((node) => node.outputs).find((output) => output?.name === name) ??
  block.inputs.find((input) => input.name === name) ??
  block.nodes.flatMap((node) => node.inputs).find((input) => input?.name === name);

/**
 * A program that is walked beside a changed one, to compare values of the same name. It may be cut in other blocks:
 * it is moved forward only as far as the values that are asked for, so values must be asked for in execution order.
 */
export class BesideWalk {
  readonly #walk: BlockWalk;
  readonly #blocks: readonly Block[];
  #index = 0;

  constructor(options: BlockWalkOptions) {
    this.#blocks = options.blocks;
    this.#walk = new BlockWalk(options);
  }

  /** Takes in the feeds of every run. */
  start(): Promise<void> {
    return this.#walk.start();
  }

  /** True when a block that has not been passed reads or computes values of all these names. */
  has(names: readonly string[]): boolean {
    return this.#find(names) !== undefined;
  }

  /**
   * Moves to the first block that has these values ('read': among its inputs, where there is one) and lends a function that computes them for any run.
   * @throws internal error when there is none: the values lie in several blocks, or before the place that is reached.
   */
  async lend<Result>(
    names: readonly string[],
    how: 'read' | 'computed',
    use: (run: BlockRun) => Promise<Result>,
  ): Promise<Result> {
    const found = (how === 'read' ? this.#findReader(names) : undefined) ?? this.#find(names);
    if (found === undefined)
      throw internalError(
        `the values ${names.join(', ')} are not in one of the remaining blocks of the original program`,
      );
    while (this.#index < found) await this.#walk.advance(this.#blocks[this.#index++]!);
    const block = this.#blocks[found]!;
    return this.#walk.lendAhead(
      block,
      names.map((name) => namesake(block, name)!),
      use,
    );
  }

  close(): void {
    this.#walk.close();
  }

  #findReader(names: readonly string[]): number | undefined {
    const at = this.#blocks.findIndex(
      ({ inputs }, index) => index >= this.#index && names.every((name) => inputs.some((value) => value.name === name)),
    );
    return at < 0 ? undefined : at;
  }

  #find(names: readonly string[]): number | undefined {
    const at = this.#blocks.findIndex(
      (block, index) => index >= this.#index && names.every((name) => namesake(block, name)),
    );
    return at < 0 ? undefined : at;
  }
}
