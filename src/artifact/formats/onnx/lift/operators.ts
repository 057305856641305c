import { nameSource } from '../../../../ir/edit/names.ts';
import { removeDead } from '../../../../ir/edit/remove-dead.ts';
import { type Graph, intAttribute, intsAttribute, Node, type Program, Value } from '../../../../ir/graph.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import { type BlockConstants, blocksOfLookup, blocksOfProduct, packedOfBlocks } from './blocks.ts';

const microsoft = 'com.microsoft';

/** What reads one constant of codes. */
interface Readers {
  readonly constants: BlockConstants;
  readonly products: Node[];
  readonly lookups: Node[];
}

const findReaders = (graph: Graph): Readers[] => {
  const found = new Map<Value, Readers>();
  for (const node of graph.nodes) {
    if (node.domain !== microsoft) continue;
    const lookup = node.op === 'GatherBlockQuantized';
    const constants = lookup ? blocksOfLookup(node) : node.op === 'MatMulNBits' ? blocksOfProduct(node) : undefined;
    if (!constants) continue;
    const readers = found.get(constants.codes) ?? { constants, products: [], lookups: [] };
    (lookup ? readers.lookups : readers.products).push(node);
    found.set(constants.codes, readers);
  }
  return [...found.values()];
};

/** Name of a weight from that of its codes, as lowering made it. */
const weightName = (codes: string): string => codes.replace(/_Q[248]$/, '');

/** Puts `made` in the place of `node`: its name, metadata and first output. */
const takePlace = (made: Node, node: Node, graph: Graph): void => {
  const output = node.outputs[0];
  for (const [key, text] of node.metadata) made.metadata.set(key, text);
  graph.insert(made, node);
  graph.remove(node);
  made.setOutput(0, output);
};

const liftProduct = (node: Node, weight: Value, graph: Graph, fresh: (base: string) => string): void => {
  const bias = node.inputs[5];
  const product = new Node({ op: 'MatMul', name: node.name, inputs: [node.inputs[0], weight], outputs: [] });
  if (!bias) {
    takePlace(product, node, graph);
    return;
  }
  const sum = new Value(fresh(`${node.outputs[0]!.name}_product`), node.outputs[0]!.type);
  product.setOutput(0, sum);
  for (const [key, text] of node.metadata) product.metadata.set(key, text);
  graph.insert(product, node);
  takePlace(new Node({ op: 'Add', name: fresh(`${node.name}_bias`), inputs: [sum, bias], outputs: [] }), node, graph);
};

/**
 * Turns MatMulNBits and GatherBlockQuantized with plain constants back into MatMul and Gather over packed weights, in
 * place: the inverse of `lowerToMatMulNBits`. Integers, scales and zero points stay as they are; a table tied to a head
 * is one constant again. Other forms (order of inputs, floating-point zero points) stay operators.
 */
export const liftBlockOperators = (program: Program): void => {
  let lifted = false;
  for (const graph of graphsWithin(program.graph)) {
    const names = nameSource(graph);
    const fresh = (base: string): string => names.fresh(base);
    for (const { constants, products, lookups } of findReaders(graph)) {
      lifted = true;
      const packed = packedOfBlocks(constants);
      const { rows, columns } = packed.facts;
      const tied = lookups.length > 0;
      const tensor = tied ? packed : packed.seenAs({ shape: [columns, rows], layout: 'rows-last' });
      const weight = graph.addInitializer(fresh(weightName(constants.codes.name)), tensor);
      for (const node of lookups) {
        const attributes = { axis: intAttribute(0) };
        takePlace(
          new Node({ op: 'Gather', name: node.name, inputs: [weight, node.inputs[1]], outputs: [], attributes }),
          node,
          graph,
        );
      }
      for (const node of products)
        liftProduct(node, tied ? transposed(weight, node, graph, fresh) : weight, graph, fresh);
    }
  }
  if (lifted) removeDead(program);
};

const transposed = (weight: Value, before: Node, graph: Graph, fresh: (base: string) => string): Value => {
  const output = new Value(fresh(`${weight.name}_Transpose_Output`));
  const name = fresh(`${before.name}/Transpose`);
  graph.insert(
    new Node({
      op: 'Transpose',
      name,
      inputs: [weight],
      outputs: [output],
      attributes: { perm: intsAttribute([1, 0]) },
    }),
    before,
  );
  return output;
};
