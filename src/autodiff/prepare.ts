import { upgradeOpset } from '../artifact/formats/onnx/lower/opset.ts';
import { CompressError } from '../errors.ts';
import { inlineIf } from '../ir/edit/inline-if.ts';
import type { Program } from '../ir/graph.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { type Shape, tensorType } from '../ir/shape.ts';
import type { Tensor } from '../ir/tensor.ts';
import { decomposeNodes, decompositions } from './decompose/table.ts';
import { fuseOperators } from './fuse.ts';

/** The oldest operator set in which every operator that gradient rules write exists (ScatterND with reductions, Reduce axes as inputs). */
const gradientOpset = 18;

export interface PrepareOptions {
  /** Shapes of inputs by name, in place of the stated ones: recurrent layers need a known number of steps. */
  readonly inputShapes?: ReadonlyMap<string, Shape> | undefined;
  /** Inputs that become constants, by name: those that decide between branches (a sampling rate). */
  readonly fixedInputs?: ReadonlyMap<string, Tensor> | undefined;
}

/** Inputs that have a constant value are no inputs any more. */
const fixInputs = ({ graph }: Program, fixed: ReadonlyMap<string, Tensor>): void => {
  for (const [name, tensor] of fixed) {
    const value = graph.inputs.find((input) => input.name === name);
    if (!value)
      throw new CompressError({
        code: 'usage',
        message: `a value is given for ${JSON.stringify(name)}, which is no input of the model`,
        hint: `Inputs are: ${graph.inputs.map((input) => input.name).join(', ')}.`,
      });
    graph.inputs.splice(graph.inputs.indexOf(value), 1);
    graph.initializers.add(value);
    value.tensor = tensor;
    value.type = tensorType(tensor.dtype, tensor.shape);
  }
};

/**
 * Makes a program ready for `appendGradients`, in place: a new enough operator set, branches that constants decide put
 * in line, norms put together and other composite operators taken apart, types inferred. Outputs stay equal up to
 * rounding.
 * @throws 'unsupported' for operators of an unknown set, and forms of composite operators that cannot be taken apart.
 */
export const prepareForGradients = (program: Program, options: PrepareOptions = {}): void => {
  const { inputShapes, fixedInputs } = options;
  if (fixedInputs) fixInputs(program, fixedInputs);
  const infer = (): void => {
    inferShapes(program, inputShapes ? { inputShapes } : {});
  };
  if (
    program.graph.nodes.some((node) => node.domain in decompositions.legacy && node.op in decompositions.legacy[''])
  ) {
    infer();
    decomposeNodes(program.graph, decompositions.legacy);
  }
  upgradeOpset(program, gradientOpset);
  infer();
  if (program.graph.nodes.some((node) => node.op === 'If') && inlineIf(program) > 0) infer();
  const changed = fuseOperators(program) + decomposeNodes(program.graph, decompositions.standard);
  if (changed > 0) infer();
};
