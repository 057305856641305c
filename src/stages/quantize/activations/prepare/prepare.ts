import { findSites } from '../../../../analysis/sites.ts';
import { upgradeOpset } from '../../../../artifact/formats/onnx/lower/opset.ts';
import { cloneProgram } from '../../../../ir/clone.ts';
import { eliminateIdentity } from '../../../../ir/edit/eliminate-identity.ts';
import { foldBatchNormalization } from '../../../../ir/edit/fold-batch-normalization.ts';
import { foldConstants } from '../../../../ir/edit/fold-constants.ts';
import { dropInitializerInputs } from '../../../../ir/edit/interface.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import { removeDead } from '../../../../ir/edit/remove-dead.ts';
import type { Program } from '../../../../ir/graph.ts';
import { inferShapes } from '../../../../ir/inference/index.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import type { Finding } from '../../../../recipe/events.ts';
import { convertProgram } from '../../precision/convert.ts';
import { foldBias } from './fold-bias.ts';
import { standardise } from './standardise.ts';

/** The operator set that has DequantizeLinear with one scale per channel. */
const leastOpset = 13;

/** True when a product reads a weight through a Transpose that something else reads too: a head tied to an embedding. */
const hasTiedWeight = (program: Program): boolean =>
  findSites(program).some((site) => site.node.inputs[site.weightIndex] !== site.weight && site.weight.uses.length > 1);

/** Values of half precision, constants included. */
const usesHalf = (program: Program): boolean =>
  [...graphsWithin(program.graph)]
    .flatMap((graph) => [...graph.inputs, ...graph.initializers, ...graph.nodes.flatMap((node) => node.outputs)])
    .some(
      (value) => value?.type?.kind === 'tensor' && (value.type.dtype === 'float16' || value.type.dtype === 'bfloat16'),
    );

/** A copy that computes in float32; its inputs and outputs keep their types. */
const widen = (source: Program): { readonly program: Program; readonly findings: readonly Finding[] } => {
  const program = cloneProgram(source);
  dropInitializerInputs(program);
  inferShapes(program);
  if (!usesHalf(program)) return { program, findings: [] };
  const wide = convertProgram(program, { precision: 'float32', scope: 'all', io: 'keep', keep: [] });
  inferShapes(wide.program);
  const text = 'half precision widened to float32 first: integer operators give float32';
  return { program: wide.program, findings: [{ kind: 'fact', text }] };
};

/**
 * A copy of a program, ready for integers: what is constant is computed (weights that are put together from pieces
 * become sites), BatchNormalization and constant Adds become biases, the operator set is new enough, half precision is
 * float32, and constants that old exporters also list as inputs are constants alone.
 */
export const prepareProgram = (
  source: Program,
): { readonly program: Program; readonly findings: readonly Finding[] } => {
  const { program, findings } = widen(source);
  if (standardise(program, nameSource(program.graph)) > 0) inferShapes(program);
  foldConstants(program, hasTiedWeight(program) ? {} : { maxSharedBytes: Number.POSITIVE_INFINITY });
  inferShapes(program);
  eliminateIdentity(program);
  foldBatchNormalization(program);
  foldBias(program, nameSource(program.graph));
  upgradeOpset(program, leastOpset);
  removeDead(program);
  return { program, findings };
};
