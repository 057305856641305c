import { findSites, type Site } from '../analysis/sites.ts';
import { CompressError } from '../errors.ts';
import type { Node, Program, Value } from '../ir/graph.ts';
import { PackedTensor } from '../ir/packed-tensor.ts';
import { readFloats } from '../ir/read.ts';
import { elementCount } from '../ir/shape.ts';
import type { Tensor } from '../ir/tensor.ts';
import { constantOf } from '../ir/walk.ts';

/** A constant that can be trained. */
export interface Trainable {
  readonly value: Value;
  readonly tensor: Tensor;
  readonly kind: 'matrix' | 'vector';
  /** Site, or first node that reads it; patterns look at these. */
  readonly name: string;
  readonly op: string;
  readonly role: string | undefined;
  readonly weight: { readonly name: string };
}

/** Inputs of normalizations and products that are gains and biases; of the others (statistics) none is trained. */
const vectorInputs: Readonly<Record<string, readonly number[]>> = {
  LayerNormalization: [1, 2],
  RMSNormalization: [1],
  SimplifiedLayerNormalization: [1],
  SkipSimplifiedLayerNormalization: [2, 3],
  InstanceNormalization: [1, 2],
  GroupNormalization: [1, 2],
  BatchNormalization: [1, 2],
  Conv: [2],
  ConvTranspose: [2],
  Gemm: [2],
  PRelu: [1],
  Mul: [0, 1],
  Add: [0, 1],
  Sub: [0, 1],
  Div: [0, 1],
};

/** Values that depend on what a site computed: activations, not positions and masks. */
const activations = (program: Program, sites: readonly Site[]): Set<Value> => {
  const siteNodes = new Set<Node>(sites.map((site) => site.node));
  const found = new Set<Value>();
  for (const node of program.graph.nodes)
    if (siteNodes.has(node) || node.inputs.some((value) => value && found.has(value)))
      for (const output of node.outputs) if (output) found.add(output);
  return found;
};

const isTrainableVector = (tensor: Tensor | undefined): tensor is Tensor =>
  tensor?.dtype === 'float32' && tensor.shape.length > 0 && elementCount(tensor.shape) > 1;

/**
 * Constants of the main graph that can be trained: weights of sites, and the gains and biases that act on what sites
 * have computed. Each once, in execution order.
 * @throws 'unsupported' for weights that are not float32.
 */
export const findTrainable = (program: Program): Trainable[] => {
  const sites = findSites(program).filter((site) => site.graph === program.graph);
  const found = new Map<Value, Trainable>();
  const byNode = new Map<Node, Site[]>();
  for (const site of sites) byNode.set(site.node, [...(byNode.get(site.node) ?? []), site]);
  const active = activations(program, sites);
  for (const node of program.graph.nodes) {
    for (const { name, op, role, weight } of byNode.get(node) ?? []) {
      const tensor = constantOf(weight)!;
      checkType(tensor, name, weight);
      if (!found.has(weight)) found.set(weight, { value: weight, tensor, kind: 'matrix', name, op, role, weight });
    }
    if (node.domain !== '' && node.domain !== 'com.microsoft') continue;
    for (const index of vectorInputs[node.op] ?? []) {
      const value = node.inputs[index];
      const tensor = constantOf(value);
      if (!value || found.has(value) || !isTrainableVector(tensor)) continue;
      if (!node.inputs.some((other) => other && other !== value && active.has(other))) continue;
      const name = node.name || value.name;
      found.set(value, { value, tensor, kind: 'vector', name, op: node.op, role: undefined, weight: value });
    }
  }
  return [...found.values()];
};

const checkType = (tensor: Tensor, site: string, weight: Value): void => {
  if (tensor.dtype === 'float32') return;
  throw new CompressError({
    code: 'unsupported',
    message: `weights of type ${tensor.dtype} cannot be trained`,
    where: { site, tensor: weight.name },
    hint: 'Convert the model to float32 first (quantize: { precision: float32 }), and back afterwards.',
  });
};

/** The numbers of a trainable constant that is not quantized. */
export const readTrainable = ({ tensor }: Trainable): Float32Array => readFloats(tensor);

/** Whether a constant is integers with scales. */
export const isPacked = (tensor: Tensor): tensor is PackedTensor => tensor instanceof PackedTensor;
