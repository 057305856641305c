import { findBlocks } from '../analysis/blocks.ts';
import { activationBytes, largestBlock } from '../autodiff/blockwise/memory.ts';
import { CompressError } from '../errors.ts';
import type { Feeds } from '../execution/session.ts';
import { symbolsOf } from '../execution/symbols.ts';
import type { Program } from '../ir/graph.ts';

/** Nothing that needs less than this is refused: any process takes as much. */
const always = 2 ** 26;

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/**
 * Checks that the activations of one sample in one block, with the largest gradients among them, fit into the memory
 * that is allowed: all else is spilled or collected in several passes.
 * @throws 'resource' naming the block, with what to change.
 */
export const checkCollectionMemory = (program: Program, feeds: Feeds, allowed: number): void => {
  const symbols = symbolsOf(program, feeds);
  const { name, bytes } = largestBlock(findBlocks(program), (value) => activationBytes(value, symbols, 1));
  if (bytes <= Math.max(always, allowed)) return;
  throw new CompressError({
    code: 'resource',
    message: `the curvature of ${name} needs about ${megabytes(bytes)} for one sample, and ${megabytes(allowed)} are allowed`,
    hint: 'Allow more memory (--max-memory), or use shorter windows or smaller pictures (data.calibration).',
  });
};
