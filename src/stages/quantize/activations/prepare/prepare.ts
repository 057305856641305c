import { upgradeOpset } from '../../../../artifact/formats/onnx/lower/opset.ts';
import { cloneProgram } from '../../../../ir/clone.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import { removeDead } from '../../../../ir/edit/remove-dead.ts';
import type { Program } from '../../../../ir/graph.ts';
import { inferShapes } from '../../../../ir/inference/index.ts';
import { foldBias } from './fold-bias.ts';

/** The operator set that has DequantizeLinear with one scale per channel. */
const leastOpset = 13;

/** A copy of a program, ready for integers. */
export const prepareProgram = (source: Program): Program => {
  const program = cloneProgram(source);
  inferShapes(program);
  upgradeOpset(program, leastOpset);
  foldBias(program, nameSource(program.graph));
  removeDead(program);
  return program;
};
