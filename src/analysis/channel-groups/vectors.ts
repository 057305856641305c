import { nameSource } from '../../ir/edit/names.ts';
import { type Node, Value } from '../../ir/graph.ts';
import { readInts, tensorOf } from '../../ir/read.ts';
import { constantOf } from '../../ir/walk.ts';
import type { AxisTable } from './axes.ts';

/**
 * Where the number at `index` of a small integer vector is written: in a constant (an operand of a Concat at most), or
 * nowhere, when it is computed from what the graph is given.
 */
const writtenAt = (
  node: Node,
  input: number,
  index: number,
  table: AxisTable,
): { readonly node: Node; readonly input: number; readonly index: number } | undefined => {
  const value = node.inputs[input];
  if (!value) return undefined;
  if (constantOf(value)) return { node, input, index };
  const { producer } = value;
  if (producer?.op !== 'Concat' || producer.domain !== '') return undefined;
  let left = index;
  for (const [position, part] of producer.inputs.entries()) {
    const tensor = constantOf(part);
    const length = table.shape(part)?.[0];
    if (typeof length !== 'number') return undefined;
    if (left < length) return tensor ? writtenAt(producer, position, left, table) : undefined;
    left -= length;
  }
  return undefined;
};

/** The constant number at a place of a vector; undefined where it is computed. */
export const writtenNumber = (node: Node, input: number, index: number, table: AxisTable): number | undefined => {
  const place = writtenAt(node, input, index, table);
  const tensor = place && constantOf(place.node.inputs[place.input]);
  return tensor && readInts(tensor)[place.index];
};

/** Writes numbers into the vector that a node reads, each in a constant of its own; computed ones are left alone. */
export const writeNumbers = (
  node: Node,
  input: number,
  changes: ReadonlyMap<number, number>,
  table: AxisTable,
): void => {
  for (const [index, number] of changes) {
    const place = writtenAt(node, input, index, table);
    const value = place?.node.inputs[place.input];
    const tensor = constantOf(value);
    const graph = place?.node.graph;
    if (!place || !value || !tensor || !graph) continue;
    const numbers = readInts(tensor);
    if (numbers[place.index] === number) continue;
    const made = new Value(
      nameSource(graph).fresh(value.name),
      undefined,
      tensorOf(tensor.dtype, tensor.shape, numbers.with(place.index, number)),
    );
    graph.initializers.add(made);
    place.node.setInput(place.input, made);
  }
};
