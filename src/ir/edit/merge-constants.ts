import type { Graph, Program, Value } from '../graph.ts';
import type { Tensor } from '../tensor.ts';
import { constantOf, graphsWithin } from '../walk.ts';
import { removeDead } from './remove-dead.ts';

/** What two constants must share to be one. */
const keyOf = (tensor: Tensor): string =>
  `${tensor.dtype}[${tensor.shape.join()}]${Buffer.from(tensor.bytes()).toString('base64')}`;

/**
 * Lets nodes read one constant where several of the same graph are identical: initializers and Constant nodes of at
 * most `maxBytes` (default 1 KiB), other than inputs and outputs of their graph.
 * @returns the number of constants that went.
 */
export const mergeConstants = (program: Program, options: { readonly maxBytes?: number } = {}): number => {
  let merged = 0;
  for (const graph of graphsWithin(program.graph)) merged += mergeWithin(graph, options.maxBytes ?? 1024);
  if (merged > 0) removeDead(program);
  return merged;
};

const mergeWithin = (graph: Graph, maxBytes: number): number => {
  const first = new Map<string, Value>();
  const interfaceValues = new Set([...graph.inputs, ...graph.outputs]);
  const constants = [
    ...graph.initializers,
    ...graph.nodes.flatMap((node) => (node.op === 'Constant' ? node.outputs : [])),
  ];
  let merged = 0;
  for (const value of constants) {
    const tensor = constantOf(value);
    if (!value || !tensor || tensor.kind === 'strings' || tensor.kind === 'packed') continue;
    if (tensor.byteLength > maxBytes || interfaceValues.has(value)) continue;
    const key = keyOf(tensor);
    const twin = first.get(key);
    if (!twin) first.set(key, value);
    else {
      for (const { node, index } of value.uses) node.setInput(index, twin);
      merged++;
    }
  }
  return merged;
};
