import { findBlocks } from '../analysis/blocks.ts';
import { activationBytes, memoryOf } from '../autodiff/blockwise/memory.ts';
import { symbolsOf } from '../execution/symbols.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { Batch } from './batches.ts';
import { blockwiseProgram } from './blockwise-step.ts';
import type { ObjectivePrograms } from './step-runner.ts';

/** Predicted bytes of a training step. */
export interface StepMemory {
  /** Of activations that are kept for the backward pass, for one sample. */
  readonly perSample: number;
  /** The same where each block computes its own again: of the block that keeps most. */
  readonly perSampleOfBlock: number;
  /** Of weights, gradients and optimizer states, whatever the batch. */
  readonly fixed: number;
}

const gradientPrefix = 'train/gradient';

/** Values of the forward pass that the backward pass reads. */
const keptValues = (graph: Graph): Set<Value> => {
  const kept = new Set<Value>();
  for (const node of graph.nodes) {
    if (!node.name.startsWith(gradientPrefix)) continue;
    for (const value of node.inputs) {
      const found = value && memoryOf(value);
      if (found?.producer && !found.producer.name.startsWith(gradientPrefix)) kept.add(found);
    }
  }
  return kept;
};

/**
 * Predicts the memory of a step from the shapes of its graph.
 * @param sample a batch of one sample.
 * @param parameters how many numbers are trained.
 */
export const predictMemory = (
  { step, judge: forward }: ObjectivePrograms,
  sample: Batch,
  parameters: number,
): StepMemory => {
  const { program } = step;
  const symbols = symbolsOf(program, sample.feeds);
  const rows = sample.rows.weights.length;
  const blockOf = new Map<string, number>();
  for (const { index, nodes } of findBlocks(blockwiseProgram(forward).program))
    for (const node of nodes) blockOf.set(node.name, index);
  const ofBlocks = new Map<number, number>();
  let perSample = 0;
  let largest = 0;
  for (const value of keptValues(program.graph)) {
    const bytes = activationBytes(value, symbols, rows);
    perSample += bytes;
    largest = Math.max(largest, bytes);
    const block = blockOf.get(value.producer?.name ?? '');
    if (block !== undefined) ofBlocks.set(block, (ofBlocks.get(block) ?? 0) + bytes);
  }
  const perSampleOfBlock = Math.max(0, ...ofBlocks.values()) + 2 * largest;
  // Values, best values, two states, gradients and what the session packs of them.
  return { perSample: perSample + 2 * largest, perSampleOfBlock, fixed: parameters * 4 * 7 };
};
