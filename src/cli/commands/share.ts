import type { RecipeFlag } from '../recipe-flags.ts';
import { stageCommand } from '../stage-command.ts';

const stage = ['stages', 0, 'share'] as const;

const shareFlags: readonly RecipeFlag[] = [
  {
    flags: '-r, --ratio <share>',
    description: 'share of the stored parameters of the chosen weights that goes (default 0.2)',
    key: [...stage, 'ratio'],
    reads: 'yaml',
  },
  {
    flags: '-m, --method <name>',
    description: 'basis, atoms, tied, linear, or any: the best of them for each group (default basis)',
    key: [...stage, 'method'],
    reads: 'text',
  },
  {
    flags: '--group <n>',
    description: 'layers that share, all, or auto: neighbours where that loses least (default auto)',
    key: [...stage, 'group'],
    reads: 'yaml',
  },
  {
    flags: '--unit <name>',
    description: 'weight or block: what shares by itself (default weight)',
    key: [...stage, 'unit'],
    reads: 'text',
  },
  {
    flags: '--pattern <name>',
    description: 'adjacent or cycle: neighbours share, or every n-th layer (default adjacent)',
    key: [...stage, 'pattern'],
    reads: 'text',
  },
  {
    flags: '-c, --calibration <data>',
    description: 'data that losses are predicted on; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
  {
    flags: '--targets <pattern>',
    description: 'weights that may be shared; give it again for several (default all in blocks)',
    key: [...stage, 'targets'],
    reads: 'texts',
  },
  {
    flags: '--ignore <pattern>',
    description: 'weights to leave; give it again for several',
    key: [...stage, 'ignore'],
    reads: 'texts',
  },
  {
    flags: '--no-residual',
    description: 'no private low-rank products beside what is shared',
    key: [...stage, 'residual'],
    reads: 'refused',
  },
  {
    flags: '--no-own-factors',
    description: 'layers that share with no other stay as they are',
    key: [...stage, 'own_factors'],
    reads: 'refused',
  },
  {
    flags: '--no-refit',
    description: 'do not correct products against the original',
    key: [...stage, 'refit'],
    reads: 'refused',
  },
];

/** One share stage without a recipe file. */
export const shareCommand = stageCommand(
  'share',
  shareFlags,
  `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512,samples=64.
Sharing makes files smaller, not models faster: operations stay, or grow by private products.

Examples:
  $ compress share checkpoint --output out/shared --ratio 0.2 --calibration text:corpus.txt,window=512,samples=64
  $ compress share checkpoint --output out/tied --method tied --group 2 --calibration text:corpus.txt
  $ compress share checkpoint --output out/atoms --method atoms --targets role:q --targets role:k --calibration text:corpus.txt`,
  'a folder with a checkpoint, an earlier output, or an .onnx file with numbered blocks',
);
