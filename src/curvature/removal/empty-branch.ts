import { findResidualWriters } from '../../analysis/residual-writers.ts';
import type { Site } from '../../analysis/sites.ts';
import { nameSource } from '../../ir/edit/names.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import { type Graph, Node, type Program, type Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { readNumbers, tensorOf } from '../../ir/read.ts';
import { constantOf } from '../../ir/walk.ts';

/** Sites that write to a stream of activations and to nothing else: without inputs, their branch may go. */
export const branchEnds = (program: Program): Set<string> =>
  new Set(findResidualWriters(program).map(({ site }) => site.name));

/** What a product gives when its inputs are all zero: its bias, as a constant that broadcasts along its rows. */
const biasOf = (site: Site): readonly number[] => {
  const bias = site.op === 'MatMul' ? undefined : constantOf(site.node.inputs[2]);
  if (!bias) return new Array<number>(site.rows).fill(0);
  const numbers = Array.from(readNumbers(bias));
  const factor = site.op === 'Gemm' ? site.node.float('beta', 1) : 1;
  return Array.from({ length: site.rows }, (_, row) => factor * (numbers[numbers.length === 1 ? 0 : row] ?? 0));
};

/** A node that gives `source` the name of `output`, in the place of the node that computed it. */
const becomeIdentity = (graph: Graph, sum: Node, source: Value): void => {
  const output = sum.outputs[0]!;
  const before = graph.nodes[graph.nodes.indexOf(sum) + 1];
  const { metadata } = sum;
  graph.remove(sum);
  const made = new Node({ op: 'Identity', name: sum.name, inputs: [source], outputs: [output] });
  for (const [key, text] of metadata) made.metadata.set(key, text);
  graph.insert(made, before);
};

/**
 * Takes a product out of which all inputs are gone: its output is its bias, and a sum with nothing is what it was added to.
 * Values keep their names, so that the stream can still be compared with what it was.
 */
export const emptyBranch = (program: Program, site: Site): void => {
  const { graph, node, output, rows } = site;
  const numbers = biasOf(site);
  const convolution = site.op === 'Conv' || site.op === 'ConvTranspose';
  const rank = convolution ? (constantOf(site.weight)?.shape.length ?? 4) : 1;
  const shape = convolution ? [1, rows, ...new Array<number>(rank - 2).fill(1)] : [rows];
  const [use] = output.uses;
  const sum = output.uses.length === 1 && use?.node.op === 'Add' ? use.node : undefined;
  const other = sum?.inputs.find((value) => value !== output);
  if (sum && other && !constantOf(other) && numbers.every((number) => number === 0)) becomeIdentity(graph, sum, other);
  else {
    const dtype = constantOf(site.weight)?.dtype ?? 'float32';
    const constant = graph.addInitializer(
      nameSource(graph).fresh(`${output.name}/constant`),
      tensorOf(dtype, shape, numbers),
    );
    for (const { node: reader, index } of output.uses) reader.setInput(index, constant);
  }
  if (node.graph === graph) removeDead(program);
  inferShapes(program, { statedTypes: 'replace' });
};
