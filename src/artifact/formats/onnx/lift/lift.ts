import { cloneProgram } from '../../../../ir/clone.ts';
import type { Model } from '../../../../ir/model.ts';
import { liftDequantized } from './dequantize.ts';
import { liftBlockOperators } from './operators.ts';

/** A copy of a model in which stored integer weights of either ONNX form are packed weights. Reads no codes. */
export const withPackedWeights = (model: Model): Model => {
  const program = cloneProgram(model.program);
  liftBlockOperators(program);
  liftDequantized(program);
  return { ...model, program };
};
