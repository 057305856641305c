import { z } from 'zod';
import type { GridTraining } from '../../../training/weights/grid.ts';

export type RefineMethod = 'adaround' | 'auto-round' | 'block-ap';

/** Training of rounded weights, block by block. */
export interface RefineOptions {
  readonly method: RefineMethod;
  /** Steps for each block. */
  readonly steps: number;
  /** Samples of a step. */
  readonly batch: number;
  readonly learningRate: number | 'auto';
  readonly scales: GridTraining;
  readonly zeros: GridTraining;
  /** 'curvature': errors of a block's output count by what they cost the model's output. 'error': all alike. */
  readonly metric: 'curvature' | 'error';
  /** Share of the samples that a block's steps are judged by. */
  readonly holdOut: number;
}

const methods = ['adaround', 'auto-round', 'block-ap'] as const satisfies readonly RefineMethod[];
const grid = z.enum(['learned', 'fixed']);

const refineObject = z.strictObject({
  method: z
    .enum(methods)
    .default('block-ap')
    .describe(
      'block-ap: weights and their grids by AdamW (EfficientQAT); adaround: each weight up or down by a rectified sigmoid that is drawn to a side (AdaRound), scales too where they are learned, zero points stay; auto-round: offsets of at most half a step, and grids, by signs of gradients (SignRound).',
    ),
  steps: z.int().min(1).default(200).describe('Steps for each block.'),
  batch: z.int().min(1).default(8).describe('Samples of a step.'),
  learning_rate: z
    .union([z.number().positive(), z.literal('auto')])
    .default('auto')
    .describe(
      'block-ap: step relative to the size of a weight; adaround: share of the way from one side to the other; auto-round: share of a step of the grid.',
    ),
  scales: grid.default('learned').describe('Whether scales are trained.'),
  zeros: grid.default('learned').describe('Whether zero points are trained.'),
  metric: z
    .enum(['curvature', 'error'])
    .default('curvature')
    .describe(
      'What an error of a block’s output counts: what it costs the model’s output (where gradients reach it), or its square.',
    ),
  hold_out: z.number().min(0).max(0.5).default(0.06).describe('Share of the samples that steps are judged by.'),
});

/** The key `refine`: a method, or a map. */
export const refineInput = z
  .union([z.enum(methods), refineObject])
  .describe('Train the rounded weights block by block against the original blocks: for 2 and 3 bits.');

/** Every default filled in. */
export const normaliseRefine = (written: z.output<typeof refineInput>): RefineOptions => {
  const given = typeof written === 'string' ? refineObject.parse({ method: written }) : written;
  const { learning_rate: learningRate, hold_out: holdOut, ...rest } = given;
  return { ...rest, learningRate, holdOut };
};
