import { findBlocks } from '../analysis/blocks.ts';
import type { Program, Value } from '../ir/graph.ts';

/** What flows into and out of a repeated block. */
export interface LayerStates {
  /** The block's number in its model. */
  readonly number: number;
  readonly input: Value;
  readonly output: Value;
}

const prefix = 'block ';

/** The weights of attention of the numbered blocks, (samples, heads, positions, positions), with or without groups of heads. */
export const attentionWeights = (program: Program): Map<number, Value> => {
  const found = new Map<number, Value>();
  for (const block of findBlocks(program)) {
    if (!block.name.startsWith(prefix)) continue;
    for (const node of block.nodes) {
      const [output] = node.outputs;
      const rank = output?.type?.kind === 'tensor' ? output.type.shape?.length : undefined;
      if (node.op === 'Softmax' && output && (rank === 4 || rank === 5))
        found.set(Number(block.name.slice(prefix.length)), output);
    }
  }
  return found;
};

/**
 * The hidden states around the numbered blocks of a model, in order; empty for graphs whose blocks are not numbered or
 * hand on more than one value.
 */
export const layerStates = (program: Program): LayerStates[] => {
  const blocks = findBlocks(program);
  const states: LayerStates[] = [];
  for (const [index, block] of blocks.entries()) {
    if (!block.name.startsWith(prefix)) continue;
    const next = blocks[index + 1];
    const read = new Set(next ? next.inputs : program.graph.outputs);
    const before = new Set(blocks[index - 1]?.outputs);
    const outputs = block.outputs.filter((value) => read.has(value));
    const inputs = block.inputs.filter((value) => before.has(value));
    const [output] = outputs;
    const [input] = inputs;
    if (!output || !input || outputs.length > 1 || inputs.length > 1) return [];
    states.push({ number: Number(block.name.slice(prefix.length)), input, output });
  }
  return states;
};

/**
 * For each of `count` student layers the teacher layer whose output it should have: evenly spread, the last ones
 * together (Jiao et al. 2020, TinyBERT, section 3.1: g(m) = m·N/M).
 */
export const spreadLayers = (count: number, teacherCount: number): number[] =>
  Array.from({ length: count }, (_, index) => Math.max(0, Math.round(((index + 1) * teacherCount) / count) - 1));

/** The same for a student made of the teacher's layers `kept`: each stands for the layers up to the next kept one. */
export const inheritedLayers = (kept: readonly number[], teacherCount: number): number[] =>
  kept.map((_, index) => (kept[index + 1] ?? teacherCount) - 1);
