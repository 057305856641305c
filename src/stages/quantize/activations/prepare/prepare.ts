import { findSites } from '../../../../analysis/sites.ts';
import { upgradeOpset } from '../../../../artifact/formats/onnx/lower/opset.ts';
import { cloneProgram } from '../../../../ir/clone.ts';
import { eliminateIdentity } from '../../../../ir/edit/eliminate-identity.ts';
import { foldConstants } from '../../../../ir/edit/fold-constants.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import { removeDead } from '../../../../ir/edit/remove-dead.ts';
import type { Program } from '../../../../ir/graph.ts';
import { inferShapes } from '../../../../ir/inference/index.ts';
import { foldBias } from './fold-bias.ts';

/** The operator set that has DequantizeLinear with one scale per channel. */
const leastOpset = 13;

/** True when a product reads a weight through a Transpose that something else reads too: a head tied to an embedding. */
const hasTiedWeight = (program: Program): boolean =>
  findSites(program).some((site) => site.node.inputs[site.weightIndex] !== site.weight && site.weight.uses.length > 1);

/**
 * A copy of a program, ready for integers: what is constant is computed (weights that are put together from pieces
 * become sites), BatchNormalization and constant Adds become biases, and the operator set is new enough.
 */
export const prepareProgram = (source: Program): Program => {
  const program = cloneProgram(source);
  inferShapes(program);
  foldConstants(program, hasTiedWeight(program) ? {} : { maxSharedBytes: Number.POSITIVE_INFINITY });
  inferShapes(program);
  eliminateIdentity(program);
  foldBias(program, nameSource(program.graph));
  upgradeOpset(program, leastOpset);
  removeDead(program);
  return program;
};
