import { CompressError } from '../../errors.ts';
import type { Finding } from '../../recipe/events.ts';
import type { StepMemory } from '../../training/memory.ts';

/** How a training fits into the memory that it may take. */
export interface MemoryFit {
  /** Samples that are run at once. */
  readonly microBatch: number;
  /** Bytes for what passes between blocks, where a step does not fit as a whole and gradients are taken block by block. */
  readonly betweenBlocks: number | undefined;
  /** Bytes left for what teachers say. */
  readonly cacheBytes: number;
  readonly findings: readonly Finding[];
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/**
 * Fits a step into memory: as a whole where one sample fits, else block by block.
 * @param wanted samples to run at once where there is room.
 * @throws 'resource' with what to change when not even the largest block of one sample fits.
 */
export const fitMemory = (memory: StepMemory, allowed: number, wanted: number): MemoryFit => {
  const { fixed, perSample: ofWhole, perSampleOfBlock: ofBlock } = memory;
  const whole = allowed - fixed >= ofWhole;
  const perSample = whole ? ofWhole : ofBlock;
  const room = Math.floor((allowed - fixed) / Math.max(1, perSample));
  if (room < 1)
    throw new CompressError({
      code: 'resource',
      message: `training needs about ${megabytes(fixed + ofBlock)} for one sample at a time with its gradients block by block, and ${megabytes(allowed)} are allowed`,
      hint: `Allow more memory (--max-memory), use shorter windows, or train adapters only: the trained numbers and their states alone take ${megabytes(fixed)}.`,
    });
  const microBatch = Math.min(wanted, room);
  const left = Math.max(0, allowed - fixed - microBatch * perSample);
  if (whole) return { microBatch, betweenBlocks: undefined, cacheBytes: left, findings: [] };
  const text = `gradients are taken block by block, which computes activations twice: one sample of a step as a whole needs ${megabytes(fixed + ofWhole)}, block by block ${megabytes(fixed + ofBlock)}, and ${megabytes(allowed)} are allowed`;
  return { microBatch, betweenBlocks: left / 2, cacheBytes: left / 2, findings: [{ kind: 'fact', text }] };
};
