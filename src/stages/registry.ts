import { autoStage } from './auto/index.ts';
import { distillStage } from './distill/index.ts';
import { exitsStage } from './exits/index.ts';
import { factorizeStage } from './factorize/index.ts';
import { quantizeStage } from './quantize/index.ts';
import { sensitivityStage } from './sensitivity/index.ts';
import { shareStage } from './share/index.ts';
import { sliceStage } from './slice/index.ts';
import type { Stage } from './stage.ts';

/** Every stage that a recipe can name. */
export const stages: readonly Stage<unknown>[] = [
  autoStage,
  sensitivityStage,
  quantizeStage,
  factorizeStage,
  sliceStage,
  shareStage,
  exitsStage,
  distillStage,
];
