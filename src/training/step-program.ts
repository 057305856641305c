import { appendGradients } from '../autodiff/gradient.ts';
import { prepareForGradients } from '../autodiff/prepare.ts';
import { CompressError } from '../errors.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { removeDead } from '../ir/edit/remove-dead.ts';
import { type Graph, type Program, Value } from '../ir/graph.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { tensorType } from '../ir/shape.ts';
import { halveProducts } from './half-products.ts';
import { writeSquaresAsProducts } from './squares.ts';
import { trainedCopy } from './trained-copy.ts';
import type { TrainedWeight } from './weights/weight.ts';

/** A number that the loss is a sum of, under the name that reports use. */
export interface LossPart {
  readonly name: string;
  /** A scalar of the step's graph. */
  readonly value: Value;
  readonly weight: number;
}

/** What the loss is built from and on. */
export interface LossContext {
  readonly graph: Graph;
  readonly build: OperatorBuilder;
  /** A value of the step's graph for one of the given program. @throws internal error when it is no value of it. */
  inStep(original: Value): Value;
  /** A further input of the step's graph; the same one when it is asked for again. */
  input(name: string, type: ReturnType<typeof tensorType>): Value;
}

export type Precision = 'float32' | 'mixed';

export interface StepRequest {
  readonly program: Program;
  /** Constants to train, by the value that holds them in `program`. */
  readonly weights: ReadonlyMap<Value, TrainedWeight>;
  /** Parameters that only the loss knows (projections): fed and differentiated like weights. */
  readonly extra: readonly TrainedWeight[];
  /** Appends the loss. `extras` holds the inputs of `extra`, in order. */
  buildLoss(context: LossContext, extras: readonly Value[]): readonly LossPart[];
  readonly gradients: 'wanted' | 'left-out';
  /** 'mixed': products in half precision, and gradients of a scaled loss, scaled back. */
  readonly precision?: Precision | undefined;
}

/** One ONNX program for a training step: data and weights in, loss and gradients out. */
export interface StepProgram {
  readonly program: Program;
  /** Outputs: the weighted sum, then the parts. */
  readonly loss: string;
  readonly parts: readonly { readonly name: string; readonly output: string }[];
  /** Where each weight is fed, and where the gradient of what is fed comes out (absent without gradients). */
  readonly leaves: ReadonlyMap<TrainedWeight, { readonly input: string; readonly gradient: string | undefined }>;
  /** Input that takes the factor of the loss whose gradients are taken; undefined: it is 1. */
  readonly lossScale: string | undefined;
}

const scalarType = tensorType('float32', []);

/** @throws 'mismatch' naming the weights that nothing would be learned for. */
const refuseUnreached = (unreached: readonly string[]): void => {
  if (unreached.length === 0) return;
  const shown = unreached.slice(0, 5).join(', ');
  throw new CompressError({
    code: 'mismatch',
    message: `${unreached.length} of the tensors to train do not reach the loss: ${shown}${unreached.length > 5 ? ', …' : ''}`,
    where: { tensor: unreached[0]! },
    hint: 'Leave them out of what is trained, or use a loss on an output that depends on them.',
  });
};

/**
 * Builds the program of a training step from a copy of the student. Weights become inputs, so that a session reads
 * them where the optimizer changes them; every gradient is an output.
 * @throws 'mismatch' for a part of the loss that is no scalar and for weights that do not reach the loss;
 * CompressErrors for operators on the way without a gradient rule.
 */
export const buildStepProgram = (request: StepRequest): StepProgram => {
  const { program, inStep, leafOf, names } = trainedCopy(request.program, request.weights, request.extra);
  const { graph } = program;
  prepareForGradients(program);
  writeSquaresAsProducts(graph);
  if (request.precision === 'mixed' && halveProducts(graph) > 0) inferShapes(program);
  const build = new OperatorBuilder(graph, 'train/loss');
  const inputs = new Map<string, Value>();
  const input: LossContext['input'] = (name, type) => {
    const made = inputs.get(name);
    if (made) return made;
    const value = new Value(names.fresh(name), type);
    graph.inputs.push(value);
    inputs.set(name, value);
    return value;
  };
  const extras = request.extra.map((weight) => leafOf.get(weight)!);
  const parts = request.buildLoss({ graph, build, inStep, input }, extras);
  inferShapes(program);
  for (const part of parts) checkScalar(part);
  const weighted = parts.map((part) =>
    build.typed(part.weight === 1 ? part.value : build.scale(part.value, part.weight), scalarType),
  );
  const loss = weighted.length === 1 ? weighted[0]! : build.typed(build.call('Sum', weighted), scalarType);
  const leaves = [...leafOf.values()];
  const scale =
    request.gradients === 'wanted' && request.precision === 'mixed' ? input('train/loss-scale', scalarType) : undefined;
  const scaled = scale ? build.typed(build.multiply(loss, scale), scalarType) : loss;
  const gradients =
    request.gradients === 'wanted'
      ? appendGradients({ graph, loss: scaled, of: leaves, prefix: 'train/gradient' })
      : { byValue: new Map<Value, Value>(), unreached: [] };
  const scaledBack = new OperatorBuilder(graph, 'train/unscaled');
  refuseUnreached([...leafOf].filter(([, leaf]) => gradients.unreached.includes(leaf)).map(([weight]) => weight.name));
  inferShapes(program);
  const outputs = new OutputList(graph);
  const lossOutput = outputs.add(loss);
  const partOutputs = parts.map(({ name, value }) => ({ name, output: outputs.add(value) }));
  const byWeight = new Map(
    [...leafOf].map(([weight, leaf]) => {
      const gradient = gradients.byValue.get(leaf);
      const plain = gradient && scale ? scaledBack.typed(scaledBack.divide(gradient, scale), leaf.type) : gradient;
      return [weight, { input: leaf.name, gradient: plain && outputs.add(plain) }] as const;
    }),
  );
  outputs.install();
  removeDead(graph);
  return { program, loss: lossOutput, parts: partOutputs, leaves: byWeight, lossScale: scale?.name };
};

const checkScalar = ({ name, value }: LossPart): void => {
  const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
  if (!shape || shape.every((dim) => dim === 1)) return;
  throw new CompressError({
    code: 'mismatch',
    message: `the loss ${name} must be one number, but has shape [${shape.join(', ')}]`,
    where: { tensor: value.name },
    hint: 'Reduce it with a mean or a sum over all axes.',
  });
};

/** Outputs of a graph, each value once; a value that is an input, or an output already, is passed through Identity. */
class OutputList {
  readonly #graph: Graph;
  readonly #outputs: Value[] = [];
  readonly #build: OperatorBuilder;

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#build = new OperatorBuilder(graph, 'train/output');
  }

  add(value: Value): string {
    const plain = value.producer !== undefined && !this.#outputs.includes(value);
    const output = plain ? value : this.#build.typed(this.#build.call('Identity', [value]), value.type);
    if (!this.#outputs.includes(output)) this.#outputs.push(output);
    return output.name;
  }

  install(): void {
    this.#graph.outputs.splice(0, this.#graph.outputs.length, ...this.#outputs);
  }
}
