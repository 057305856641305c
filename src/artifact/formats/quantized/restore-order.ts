import { nameSource } from '../../../ir/edit/names.ts';
import { setConstant } from '../../../ir/edit/replace.ts';
import { type Graph, intAttribute, Node, type Use, Value } from '../../../ir/graph.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { intTensor } from '../../../ir/read.ts';
import { DerivedTensor } from '../../../ir/tensor.ts';

const isProduct = ({ node, index }: Use): boolean => node.op === 'MatMul' && node.domain === '' && index === 1;

/**
 * Puts the inputs of products in the order that the columns of their packed weights are stored in, by a Gather on the
 * last axis (one for all products that read the same values in the same order). Packed weights that other operators
 * read become floating-point ones. In place.
 */
export const restoreInputOrder = (graph: Graph): void => {
  const names = nameSource(graph);
  const orders = new Map<string, Value>();
  const gathered = new Map<string, Value>();
  const orderValue = (order: Uint32Array): Value => {
    const key = order.join(',');
    const known = orders.get(key);
    const made =
      known ?? graph.addInitializer(names.fresh('input_order'), intTensor([order.length], Array.from(order)));
    orders.set(key, made);
    return made;
  };
  const inOrder = (input: Value, order: Value, before: Node): Value => {
    const key = `${order.name} ${input.name}`;
    const known = gathered.get(key);
    if (known) return known;
    const output = new Value(names.fresh(`${input.name}_in_order`), input.type);
    const name = names.fresh(`${before.name}/in_order`);
    const attributes = { axis: intAttribute(-1) };
    graph.insert(new Node({ op: 'Gather', name, inputs: [input, order], outputs: [output], attributes }), before);
    gathered.set(key, output);
    return output;
  };
  for (const value of [...graph.initializers]) {
    const { tensor } = value;
    if (!(tensor instanceof PackedTensor) || !tensor.facts.inputOrder) continue;
    if (tensor.facts.layout !== 'rows-last' || !value.uses.every(isProduct)) {
      setConstant(value, new DerivedTensor(tensor.dtype, tensor.shape, () => tensor.bytes()));
      continue;
    }
    const order = orderValue(tensor.facts.inputOrder);
    for (const { node } of value.uses) node.setInput(0, inOrder(node.inputs[0]!, order, node));
    value.tensor = tensor.inStoredOrder();
  }
};
