import type { Value } from '../../ir/graph.ts';
import type { Role } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { GraphBuilder } from '../builder.ts';

export interface LinearFields {
  /** Module path; the weight is `path.weight` (outputs, inputs), the bias `path.bias` (outputs). */
  readonly path: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: boolean;
  readonly role?: Role;
}

/** x · W + b with W (inputs, outputs) made by `weight`. The product is named after the module. */
export const project = (
  b: GraphBuilder,
  x: Value,
  { path, outputs, bias, role }: Omit<LinearFields, 'inputs'>,
  weight: () => Tensor,
): Value => {
  const product = b.op('MatMul', [x, b.weight(`${path}.weight`, weight)], { name: path, ...(role ? { role } : {}) });
  if (!bias) return product;
  const name = `${path}.bias`;
  return b.within(path, () =>
    b.add(
      product,
      b.weight(name, () => b.weights.take(name, [outputs])),
    ),
  );
};

/** A linear layer as PyTorch stores it: y = x · Wᵀ + b. */
export const linear = (b: GraphBuilder, x: Value, fields: LinearFields): Value =>
  project(b, x, fields, () => b.weights.transposed(`${fields.path}.weight`, fields.outputs, fields.inputs));

/** GPT-2's Conv1D: the weight is stored (inputs, outputs). */
export const linearStoredTransposed = (b: GraphBuilder, x: Value, fields: LinearFields): Value =>
  project(b, x, fields, () => b.weights.take(`${fields.path}.weight`, [fields.inputs, fields.outputs]));

/** x · Eᵀ with the embedding matrix E (outputs, inputs) that the graph looks tokens up in: a tied head. */
export const tiedHead = (b: GraphBuilder, x: Value, path: string, embedding: Value): Value => {
  const turned = b.within(path, () => b.transpose(embedding, [1, 0]));
  return b.op('MatMul', [x, turned], { name: path, role: 'head' });
};
