import { upgradeOpset } from '../artifact/formats/onnx/lower/opset.ts';
import type { Program } from '../ir/graph.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { decomposeNodes } from './decompose/table.ts';

/** The oldest operator set in which every operator that gradient rules write exists (ScatterND with reductions, Reduce axes as inputs). */
const gradientOpset = 18;

/**
 * Makes a program ready for `appendGradients`, in place: a new enough operator set, composite operators unrolled, types
 * inferred. Outputs stay equal.
 */
export const prepareForGradients = (program: Program): void => {
  upgradeOpset(program, gradientOpset);
  inferShapes(program);
  if (decomposeNodes(program.graph, () => true) > 0) inferShapes(program);
};
