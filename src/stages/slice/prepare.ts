import { CompressError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { dropZeroStates } from '../../ir/edit/drop-zero-states.ts';
import { foldBatchNormalization } from '../../ir/edit/fold-batch-normalization.ts';
import { foldConstants } from '../../ir/edit/fold-constants.ts';
import { readConstantsDirectly } from '../../ir/edit/read-constants-directly.ts';
import { unshareVectors } from '../../ir/edit/unshare-vectors.ts';
import type { Program } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { graphsWithin } from '../../ir/walk.ts';

/** @throws 'unsupported' for a model whose weights are integers already. */
export const refusePacked = (program: Program): void => {
  for (const graph of graphsWithin(program.graph))
    for (const value of graph.initializers)
      if (value.tensor instanceof PackedTensor)
        throw new CompressError({
          code: 'unsupported',
          message: `${value.name} is quantized already: channels are removed from floating-point weights`,
          where: { tensor: value.name },
          hint: 'Put slice before quantize in the recipe, or start from the model before it was quantized.',
        });
};

/**
 * A copy that computes the same, in which weights are constants, fixed normalisations are part of them, and equal biases
 * and gains are constants of their own.
 */
export const separated = (given: Program): Program => {
  const program = cloneProgram(given);
  readConstantsDirectly(program);
  foldConstants(program);
  foldBatchNormalization(program);
  dropZeroStates(program);
  unshareVectors(program);
  inferShapes(program);
  return program;
};

/** The copy that channels are removed from. @throws 'unsupported' for a model whose weights are integers already. */
export const prepareForSlicing = (given: Program): Program => {
  refusePacked(given);
  return separated(given);
};
