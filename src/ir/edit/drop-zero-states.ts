import type { Node, Program, Value } from '../graph.ts';
import { constantOf, graphsWithin } from '../walk.ts';
import { removeDead } from './remove-dead.ts';

/** Operators that only move or repeat what they read. */
const moving = new Set(['Expand', 'Reshape', 'Identity', 'Unsqueeze', 'Squeeze', 'Transpose', 'Slice']);

const isZero = (value: Value | undefined): boolean => {
  const tensor = constantOf(value);
  if (tensor) return tensor.bytes().every((byte) => byte === 0);
  const node = value?.producer;
  if (!node) return false;
  if (moving.has(node.op)) return isZero(node.inputs[0]);
  if (node.op !== 'ConstantOfShape') return false;
  const fill = node.attributes.get('value');
  return fill?.kind !== 'tensor' || fill.value.bytes().every((byte) => byte === 0);
};

/** Inputs that hold the first states. */
const stateInputs: Readonly<Record<string, readonly number[]>> = { LSTM: [5, 6], GRU: [5], RNN: [5] };

const dropFrom = (node: Node): number => {
  let dropped = 0;
  for (const index of stateInputs[node.op] ?? [])
    if (node.inputs[index] && isZero(node.inputs[index])) {
      node.setInput(index, undefined);
      dropped++;
    }
  node.trimInputs();
  return dropped;
};

/**
 * Leaves out first states of recurrent layers that are zeros, which a missing input means too: exporters compute them
 * from the batch size.
 * @returns the number of inputs left out.
 */
export const dropZeroStates = (program: Program): number => {
  let dropped = 0;
  for (const graph of graphsWithin(program.graph)) for (const node of graph.nodes) dropped += dropFrom(node);
  if (dropped > 0) removeDead(program);
  return dropped;
};
