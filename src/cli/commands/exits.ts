import type { RecipeFlag } from '../recipe-flags.ts';
import { stageCommand } from '../stage-command.ts';

const stage = ['stages', 0, 'exits'] as const;

const exitsFlags: readonly RecipeFlag[] = [
  {
    flags: '--exits <n>',
    description: 'how many exits there are, spread evenly by operations (default 2; a recipe can name their places)',
    key: [...stage, 'after'],
    reads: 'yaml',
  },
  {
    flags: '--operations <share>',
    description: 'share of the operations that a sample is expected to take (default 0.7)',
    key: [...stage, 'operations'],
    reads: 'yaml',
  },
  {
    flags: '--max-kl <nats>',
    description: 'divergence from the whole model that is accepted, in place of --operations',
    key: [...stage, 'kl'],
    reads: 'yaml',
  },
  {
    flags: '-c, --calibration <data>',
    description: 'data that heads are fitted to and thresholds calibrated on; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
];

/** One exits stage without a recipe file. */
export const exitsCommand = stageCommand(
  'exits',
  exitsFlags,
  `
DATA is kind:path,key=value,… such as images:photos. Time is saved where samples come one by one.

Examples:
  $ compress exits classifier.onnx --output out/early --operations 0.8 --calibration images:photos
  $ compress exits classifier.onnx --output out/careful --exits 3 --max-kl 0.05 --calibration images:photos`,
);
