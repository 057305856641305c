import { type Block, findBlocks } from '../../analysis/blocks.ts';
import { CompressError } from '../../errors.ts';
import type { Graph, Program, Value } from '../../ir/graph.ts';
import { checkScalar } from '../gradient.ts';
import { checkRules, nodesBetween, valuesBehind } from '../path.ts';

/** What is differentiated block by block: the request of `appendGradients` over a whole program. */
export interface BlockwiseRequest {
  /** Ready for gradients (prepareForGradients), loss included. It is not changed. */
  readonly program: Program;
  /** Scalar to differentiate. With `seed`, any tensor: the gradient of Σ seed·loss, the seed taken as constant. */
  readonly loss: Value;
  /** A value of the program, of the shape of `loss`: an input, or computed from the model's outputs. */
  readonly seed?: Value | undefined;
  /** Values to differentiate for: intermediate values, inputs and constants. */
  readonly of: readonly Value[];
  /** Further values to be seen beside the gradients, such as the inputs of weight products. */
  readonly watch?: readonly Value[] | undefined;
  /** Default: findBlocks(program). */
  readonly blocks?: readonly Block[] | undefined;
}

/** One block's part of the way forward and back. */
export interface BlockPart {
  readonly block: Block;
  /** Values of this block that the way forward has to keep: read by later blocks on the way to the loss. */
  readonly kept: readonly Value[];
  /** Inputs of the block whose gradients earlier blocks need. */
  readonly back: readonly Value[];
  /** Requested values that this block computes, and those that it reads or computes for itself (constants, inputs). */
  readonly of: readonly Value[];
  readonly watch: readonly Value[];
}

export interface BlockwisePlan {
  /** Blocks up to the one that computes the loss. */
  readonly parts: readonly BlockPart[];
  /** Blocks behind the loss that the seed needs. */
  readonly behind: readonly BlockPart[];
  /** The block that computes the seed, where it is not the block of the loss. */
  readonly seedBlock: Block | undefined;
  /** First block that reads each value: the last one on the way back. */
  readonly firstReader: ReadonlyMap<Value, number>;
}

/** The block that computes each value; values that every block computes for itself have none. */
const makersOf = (blocks: readonly Block[]): Map<Value, number> => {
  const makers = new Map<Value, number>();
  for (const { index, nodes } of blocks)
    for (const node of nodes) for (const value of node.outputs) if (value) makers.set(value, index);
  return makers;
};

/** Values that the nodes of a block depend on without leaving the block: constants, inputs, masks, its own values. */
const within = (block: Block, graph: Graph): Set<Value> => {
  const own = new Set(block.nodes);
  const borders = new Set(block.inputs);
  const found = new Set<Value>();
  const pending: Value[] = block.nodes.flatMap((node) => [...node.inputs, ...node.outputs]).filter((value) => !!value);
  for (let value = pending.pop(); value; value = pending.pop()) {
    if (found.has(value)) continue;
    found.add(value);
    const { producer } = value;
    if (!producer || borders.has(value) || own.has(producer) || producer.graph !== graph) continue;
    for (const input of producer.inputs) if (input) pending.push(input);
  }
  return found;
};

/**
 * Lays out the way forward and back over the blocks of a program.
 * @throws CompressErrors for operators without a gradient rule, anywhere on the way; 'mismatch' for a loss that is not
 * one number, or that no block computes.
 */
export const planBlockwise = (request: BlockwiseRequest): BlockwisePlan => {
  const { program, loss, seed } = request;
  const { graph } = program;
  if (!seed) checkScalar(loss);
  checkRules(nodesBetween(graph, request.of, [loss]));
  const given = request.blocks ?? findBlocks(program);
  const makers = makersOf(given);
  const lossBlock = makers.get(loss);
  if (lossBlock === undefined)
    throw new CompressError({
      code: 'mismatch',
      message: `the loss ${loss.name} does not depend on any weight of the model`,
      where: { tensor: loss.name },
      hint: 'Differentiate a loss that the model computes from its outputs.',
    });
  const blocks = given.map((block) =>
    block.index === lossBlock && seed && graph.inputs.includes(seed) && !block.inputs.includes(seed)
      ? { ...block, inputs: [...block.inputs, seed] }
      : block,
  );
  const seedBlock = seed ? (makers.get(seed) ?? lossBlock) : lossBlock;
  const last = Math.max(lossBlock, seedBlock);
  const reach = valuesBehind(graph, request.of);
  const firstReader = new Map<Value, number>();
  const lastReader = new Map<Value, number>();
  for (const { index, inputs } of blocks.slice(0, last + 1))
    for (const value of inputs) {
      if (!firstReader.has(value)) firstReader.set(value, index);
      lastReader.set(value, index);
    }
  const shown = new Set<Value>();
  /** Each watched value once: where it is computed, or in the last block that has it. */
  const watchedIn = (block: Block, inside: ReadonlySet<Value>): Value[] =>
    (request.watch ?? []).filter((value) => {
      if (shown.has(value) || !inside.has(value) || (makers.get(value) ?? block.index) !== block.index) return false;
      shown.add(value);
      return true;
    });
  const parts = blocks
    .slice(0, last + 1)
    .reverse()
    .map((block): BlockPart => {
      const inside = within(block, graph);
      return {
        block,
        kept: block.outputs.filter((value) => (lastReader.get(value) ?? -1) > block.index),
        back: block.inputs.filter((value) => makers.has(value) && reach.has(value)),
        of: request.of.filter((value) => inside.has(value) && (makers.get(value) ?? block.index) === block.index),
        watch: block.index <= lossBlock ? watchedIn(block, inside) : [],
      };
    })
    .reverse();
  return {
    parts: parts.slice(0, lossBlock + 1),
    behind: parts.slice(lossBlock + 1),
    seedBlock: seedBlock === lossBlock ? undefined : blocks[seedBlock],
    firstReader,
  };
};
