import type { Stage } from '../stage.ts';
import { type ShareOptions, shareOptions } from './options.ts';
import { planShare } from './plan.ts';
import { runShare } from './run.ts';

/** Layers that read the same weights. */
export const shareStage: Stage<ShareOptions> = {
  name: 'share',
  summary: 'let layers share weights: a common basis, atoms, tied layers with private low-rank rests',
  options: shareOptions,
  needsCalibration: ({ depth, stitch, cache }) => depth === undefined || stitch !== undefined || cache !== undefined,
  references: ({ stitch }) => (stitch ? [stitch.with] : []),
  plan: planShare,
  run: runShare,
};
