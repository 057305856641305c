import { blocksByInfluence, blocksByLoss } from './blocks.ts';
import { moDeGpt } from './modegpt/index.ts';
import { sliceGpt } from './slicegpt.ts';
import type { TransformMethod } from './transform.ts';

/** Ways to make a model smaller that are no ranking of channels, by the name that recipes use. */
export const transformMethods = {
  'blocks-loss': blocksByLoss,
  'blocks-influence': blocksByInfluence,
  slicegpt: sliceGpt,
  modegpt: moDeGpt,
} as const satisfies Readonly<Record<string, TransformMethod>>;

export type TransformMethodName = keyof typeof transformMethods;
