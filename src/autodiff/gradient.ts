import { CompressError, internalError } from '../errors.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { isFloat } from '../ir/data-type.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { tensorType, type ValueType } from '../ir/shape.ts';
import { shapeOf } from './broadcast.ts';
import { checkRules, nodesBetween } from './path.ts';
import type { Rule, RuleContext } from './rule.ts';
import { ruleOf } from './rules/table.ts';

/** What is differentiated: a loss, or the sum Σ seed·value of any tensors with values of the same shape (gradients, say). */
export type GradientTarget =
  | {
      /** Scalar (rank 0 or one element) to differentiate. With `seed`, any tensor: the gradient of Σ seed·loss. */
      readonly loss: Value;
      readonly seed?: Value;
    }
  | { readonly seeds: ReadonlyMap<Value, Value> };

export type GradientRequest = GradientTarget & {
  /** The graph that computes the loss; gradient nodes are appended to it. Types must have been inferred. */
  readonly graph: Graph;
  /** Values to differentiate for: inputs, initializers or intermediate values of the graph. */
  readonly of: readonly Value[];
  /** Names of the new nodes start with this. Default 'gradient'. */
  readonly prefix?: string;
};

export interface Gradients {
  /** ∂loss/∂value, of the value's shape; absent for values that do not reach the loss. */
  readonly byValue: ReadonlyMap<Value, Value>;
  /** Requested values that do not reach the loss through differentiable operators. */
  readonly unreached: readonly Value[];
}

/**
 * Appends to a graph the nodes that compute the gradient of a scalar: reverse-mode differentiation, one rule per operator
 * (rules/table.ts), in standard ONNX operators. Only nodes between the requested values and the loss are differentiated.
 * The result can be differentiated again (Hessian-vector products).
 * @throws CompressErrors listing every operator on the way that has no rule, before anything is added.
 * @throws 'mismatch' when the loss is not a scalar and no seed is given.
 */
export const appendGradients = (request: GradientRequest): Gradients => {
  const { graph, of } = request;
  if ('loss' in request && !request.seed) checkScalar(request.loss);
  const path = nodesBetween(graph, of, 'loss' in request ? [request.loss] : request.seeds.keys());
  checkRules(path);
  const build = new OperatorBuilder(graph, request.prefix ?? 'gradient');
  const parts = new Map<Value, Value[]>();
  const contribute = (value: Value, gradient: Value): void => {
    build.typed(gradient, gradientType(gradient, value));
    const list = parts.get(value);
    if (list) list.push(gradient);
    else parts.set(value, [gradient]);
  };
  const total = (value: Value): Value | undefined => {
    const list = parts.get(value);
    if (!list || list.length === 0) return undefined;
    if (list.length > 1) {
      const sum = build.typed(build.call(list.length === 2 ? 'Add' : 'Sum', list), value.type);
      list.splice(0, list.length, sum);
    }
    return list[0];
  };
  for (const [value, seed] of seedsOf(request, build)) contribute(value, seed);
  const active = activeValues(path, of);
  for (const node of [...path].reverse()) {
    const gradients = node.outputs.map((output) => (output ? total(output) : undefined));
    if (gradients.every((gradient) => gradient === undefined)) continue;
    const rule = ruleOf(node)!;
    const results = applyRule(rule, { node, gradients, build, active, gradientOf: total });
    results.forEach((gradient, index) => {
      const input = node.inputs[index];
      if (gradient && input && active.has(input)) contribute(input, gradient);
    });
  }
  const byValue = new Map<Value, Value>();
  for (const value of of) {
    const gradient = total(value);
    if (gradient) byValue.set(value, gradient);
  }
  return { byValue, unreached: of.filter((value) => !byValue.has(value)) };
};

/** A gradient has the shape of its value, and its element type unless that is an integer (quantized values). */
const gradientType = (gradient: Value, value: Value): ValueType | undefined => {
  const { type } = value;
  if (type?.kind !== 'tensor' || (type.dtype && isFloat(type.dtype))) return type;
  return tensorType(gradient.type?.kind === 'tensor' ? gradient.type.dtype : undefined, type.shape);
};

/** The gradients that the way back starts with; 1 for a loss. */
const seedsOf = (target: GradientTarget, build: OperatorBuilder): ReadonlyMap<Value, Value> => {
  if ('seeds' in target) return target.seeds;
  const { loss, seed } = target;
  return new Map([[loss, seed ?? build.call('Expand', [build.scalarLike(1, loss), build.call('Shape', [loss])])]]);
};

/** @throws 'mismatch' for a loss that is not one number. */
export const checkScalar = (loss: Value): void => {
  const shape = shapeOf(loss);
  if (shape?.every((dim) => dim === 1)) return;
  throw new CompressError({
    code: 'mismatch',
    message: `a loss must be one number, but ${loss.name} has shape ${shape ? `[${shape.join(', ')}]` : 'unknown'}`,
    where: { tensor: loss.name },
    hint: 'Reduce it with ReduceMean or ReduceSum over all axes.',
  });
};

/** What a rule's context is made of. */
interface RuleCall extends Pick<RuleContext, 'node' | 'gradients' | 'build' | 'gradientOf'> {
  readonly active: ReadonlySet<Value>;
}

const applyRule = (rule: Rule, call: RuleCall): readonly (Value | undefined)[] => {
  const { node, gradients, build, active, gradientOf } = call;
  const needed = (values: readonly (Value | undefined)[], index: number, what: string): Value => {
    const value = values[index];
    if (!value) throw internalError(`the gradient rule of ${node.op} needs ${what} ${index}`, { node: node.name });
    return value;
  };
  const context: RuleContext = {
    node,
    build,
    gradients,
    gradientOf,
    wants: (index) => {
      const input = node.inputs[index];
      return input !== undefined && active.has(input);
    },
    input: (index) => needed(node.inputs, index, 'input'),
    output: (index) => needed(node.outputs, index, 'output'),
    get gradient() {
      return needed(gradients, 0, 'the gradient of output');
    },
  };
  return rule(context);
};

/** Values on the path whose gradients are needed: the sources and everything computed from them. */
const activeValues = (path: readonly Node[], sources: readonly Value[]): Set<Value> => {
  const active = new Set<Value>(sources);
  for (const node of path) for (const output of node.outputs) if (output) active.add(output);
  return active;
};
