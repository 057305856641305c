import type { RecipeFlag } from '../recipe-flags.ts';
import { stageCommand } from '../stage-command.ts';

const stage = ['stages', 0, 'factorize'] as const;

const factorizeFlags: readonly RecipeFlag[] = [
  {
    flags: '-r, --ratio <share>',
    description: 'share of the parameters of the chosen weights that goes (default 0.2)',
    key: [...stage, 'ratio'],
    reads: 'yaml',
  },
  {
    flags: '--operations <share>',
    description: 'share of their operations that goes, instead',
    key: [...stage, 'operations'],
    reads: 'yaml',
  },
  {
    flags: '--max-kl <nats>',
    description: 'predicted loss that is allowed, instead',
    key: [...stage, 'max_kl'],
    reads: 'yaml',
  },
  {
    flags: '-m, --method <name>',
    description: 'two-sided, whitened or plain (default two-sided)',
    key: [...stage, 'method'],
    reads: 'text',
  },
  {
    flags: '--form <name>',
    description:
      'also tucker, canonical, tensor-train or tensor-ring; give it again for several (default tucker and canonical)',
    key: [...stage, 'forms'],
    reads: 'texts',
  },
  {
    flags: '--rank-multiple <n>',
    description: 'ranks are multiples of this (default 1)',
    key: [...stage, 'rank_multiple'],
    reads: 'yaml',
  },
  {
    flags: '-c, --calibration <data>',
    description: 'data that losses are predicted on; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
  {
    flags: '--targets <pattern>',
    description: 'weights to factorise; give it again for several (default all)',
    key: [...stage, 'targets'],
    reads: 'texts',
  },
  {
    flags: '--ignore <pattern>',
    description: 'weights to leave; give it again for several (default the embedding and the head)',
    key: [...stage, 'ignore'],
    reads: 'texts',
  },
  {
    flags: '--no-refit',
    description: 'do not correct products against the original',
    key: [...stage, 'refit'],
    reads: 'refused',
  },
];

/** One factorize stage without a recipe file. */
export const factorizeCommand = stageCommand(
  'factorize',
  factorizeFlags,
  `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512,samples=64 or images:folder,labels=labels.csv.

Examples:
  $ compress factorize checkpoint --output out/low-rank --ratio 0.2 --calibration text:corpus.txt,window=512,samples=64
  $ compress factorize cnn.onnx --output out/fast --operations 0.3 --calibration images:photos
  $ compress factorize model.onnx --output out/careful --max-kl 0.01 --calibration text:corpus.txt --ignore 'role:q'`,
);
