import { type Block, findBlocks } from '../analysis/blocks.ts';
import { extractSegment, type Segment } from '../analysis/segment.ts';
import type { NumericArray } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { removeDead } from '../ir/edit/remove-dead.ts';
import { replaceAllUses } from '../ir/edit/replace.ts';
import { type Graph, Value } from '../ir/graph.ts';
import { tensorType } from '../ir/shape.ts';
import { constantOf } from '../ir/walk.ts';
import { BlockWalk, type BlockWalkOptions } from './block-walk.ts';
import { checkSignal } from './interrupt.ts';
import { withSession } from './session.ts';

export interface SuffixWalkOptions extends Omit<BlockWalkOptions, 'blocks'> {
  readonly blocks?: readonly Block[];
  /** What is computed at the end. */
  readonly outputs: readonly Value[];
}

/** Computes the outputs of one run with constants of the caller's choice, by name. */
export type SuffixRun = (
  run: number,
  constants: ReadonlyMap<string, NumericArray>,
) => Promise<ReadonlyMap<string, NumericArray>>;

export interface SuffixVisit {
  readonly block: Block;
  readonly runCount: number;
  /** Outputs that depend on this block or a later one; the others cannot change any more. */
  readonly outputs: readonly Value[];
  /**
   * Opens the program from this block to its end, once for all choices of the constants named. Every run starts from
   * what the blocks before have computed.
   */
  lend<Result>(constants: readonly Value[], use: (compute: SuffixRun) => Promise<Result>): Promise<Result>;
  /**
   * Opens the program from this block to its end after an edit of that part, a copy of the caller's program: nodes may be
   * put in and taken out, what the part reads of the blocks before stays.
   */
  lendEdited<Result>(edit: (part: Graph) => void, use: (compute: SuffixRun) => Promise<Result>): Promise<Result>;
}

/**
 * Walks a program and offers at each block the rest of it: what a change in a block does to the outputs is computed
 * without computing again what lies before. `visit` is not called for blocks that `wanted` declines.
 */
export const walkSuffixes = async (
  options: SuffixWalkOptions,
  wanted: (block: Block) => boolean,
  visit: (visit: SuffixVisit) => Promise<void>,
): Promise<void> => {
  const { program } = options;
  const blocks = options.blocks ?? findBlocks(program);
  const lastWanted = blocks.findLastIndex(wanted);
  if (lastWanted < 0) return;
  const walk = new BlockWalk({ ...options, blocks });
  try {
    await walk.start();
    for (const [index, block] of blocks.slice(0, lastWanted + 1).entries()) {
      if (wanted(block)) await visit(suffixFrom(blocks.slice(index), walk, options));
      if (index < lastWanted) await walk.advance(block);
    }
  } finally {
    walk.close();
  }
};

const suffixFrom = (
  rest: readonly Block[],
  walk: BlockWalk,
  { program, outputs: wanted, engine, scratch, signal }: SuffixWalkOptions,
): SuffixVisit => {
  const block = rest[0]!;
  const made = new Set(rest.flatMap(({ nodes }) => nodes.flatMap((node) => node.outputs)));
  const inputs = [...new Set(rest.flatMap((one) => one.inputs))].filter((value) => !made.has(value));
  const outputs = wanted.filter((value) => made.has(value));
  const names = outputs.map(({ name }) => name);
  const extract = (): Segment => extractSegment(program, { ...block, inputs, outputs }, (value) => walk.typeOf(value));
  const open = <Result>(
    part: Segment['program'],
    chosenNames: ReadonlySet<string>,
    use: (compute: SuffixRun) => Promise<Result>,
  ): Promise<Result> => {
    removeDead(part.graph);
    return withSession(engine, part, { signal, scratchDirectory: scratch.directory }, (session) =>
      use((run, chosen) => {
        checkSignal(signal);
        const stored = session.inputNames.filter((name) => !chosenNames.has(name));
        return session.run(new Map([...walk.feeds(stored, run), ...chosen]), names);
      }),
    );
  };
  return {
    block,
    runCount: walk.runCount,
    outputs,
    lend: async (constants, use) => {
      const segment = extract();
      for (const constant of constants) feedConstant(segment.program.graph, segment.valueOf(constant), constant.name);
      return open(segment.program, new Set(constants.map(({ name }) => name)), use);
    },
    lendEdited: async (edit, use) => {
      const { program: part } = extract();
      edit(part.graph);
      return open(part, new Set(), use);
    },
  };
};

/** Makes an input of a constant. */
const feedConstant = (graph: Graph, value: Value | undefined, name: string): void => {
  const tensor = constantOf(value);
  if (!value || !tensor) throw internalError(`the constant ${name} is not read by the rest of the program`);
  const input = new Value(name, tensorType(tensor.dtype, tensor.shape));
  replaceAllUses(value, input, { graph });
  graph.initializers.delete(value);
  graph.inputs.push(input);
};
