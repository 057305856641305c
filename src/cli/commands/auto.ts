import type { CommandModule } from '../command.ts';
import { type RecipeFlag, recipeFromFlags } from '../recipe-flags.ts';
import { runAndReport } from '../run-recipe.ts';
import { configureStage, stageFlags } from '../stage-command.ts';

const stage = ['stages', 0, 'auto'] as const;

const autoFlags: readonly RecipeFlag[] = [
  {
    flags: '--size <share>',
    description: 'share of the bytes that may be left, like 0.2',
    key: [...stage, 'size'],
    reads: 'yaml',
  },
  {
    flags: '--parameters <share>',
    description: 'share of all parameters that may be left',
    key: [...stage, 'parameters'],
    reads: 'yaml',
  },
  {
    flags: '--block-parameters <share>',
    description: 'share of the weights of blocks that may be left',
    key: [...stage, 'block_parameters'],
    reads: 'yaml',
  },
  {
    flags: '--operations <share>',
    description: 'share of the multiplications that may be left',
    key: [...stage, 'operations'],
    reads: 'yaml',
  },
  {
    flags: '--latency <share>',
    description: 'share of the time that may be left, measured on this machine',
    key: [...stage, 'latency'],
    reads: 'yaml',
  },
  {
    flags: '--max-kl <nats>',
    description: 'divergence that is allowed: as small as it buys',
    key: [...stage, 'max_kl'],
    reads: 'yaml',
  },
  {
    flags: '--kinds <kind>',
    description: 'low-rank, removal, bits, sharing; give it again for several (default what the budget counts)',
    key: [...stage, 'kinds'],
    reads: 'texts',
  },
  {
    flags: '-c, --calibration <data>',
    description: 'data that losses are predicted on; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
  {
    flags: '--steps <n>',
    description: 'collect the curvature again this often on the way (default: by the budget)',
    key: [...stage, 'steps'],
    reads: 'yaml',
  },
  {
    flags: '--compact',
    description: 'write graphs without the names that running does not need: room for the weights of small models',
    key: [...stage, 'compact'],
    reads: 'given',
  },
  { flags: '--heal', description: 'train the result afterwards', key: [...stage, 'heal'], reads: 'given' },
  {
    flags: '--no-refit',
    description: 'do not correct products against the original',
    key: [...stage, 'refit'],
    reads: 'refused',
  },
  {
    flags: '--ignore <pattern>',
    description: 'weights to leave; give it again for several',
    key: [...stage, 'ignore'],
    reads: 'texts',
  },
];

const flags = stageFlags(autoFlags);

/** `--kinds low-rank,removal` and `--kinds low-rank --kinds removal` are the same. */
const splitKinds = (kinds: readonly string[]): string[] => kinds.flatMap((text) => text.split(','));

/** The formats of `--to`, by default onnx, asked to leave out what running does not need. */
const compacted = (formats: readonly string[]): object[] =>
  (formats.length > 0 ? formats : ['onnx']).map((format) => ({ [format]: { compact: true } }));

/** One auto stage without a recipe file. */
export const autoCommand: CommandModule = {
  configure(command) {
    configureStage(
      command,
      flags,
      `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512,samples=64 or images:folder,labels=labels.csv.

Examples:
  $ compress auto checkpoint --output out/fifth --size 0.2 --calibration text:corpus.txt,window=512,samples=64
  $ compress auto checkpoint --output out/tiny --size 0.1 --compact --to onnx-matmulnbits --calibration text:corpus.txt
  $ compress auto model.onnx --output out/fast --latency 0.6 --calibration images:photos
  $ compress auto checkpoint --output out/near --max-kl 0.05 --kinds low-rank,removal --calibration text:corpus.txt`,
    );
  },

  async run(args, options, context) {
    const kinds = options.texts('kinds');
    const formats = options.texts('to');
    const written = options.flag('compact') ? compacted(formats) : formats;
    const recipe = await recipeFromFlags(
      {
        model: { path: args[0] },
        stages: [{ auto: kinds.length > 0 ? { kinds: splitKinds(kinds) } : {} }],
        ...(written.length > 0 ? { write: written } : {}),
      },
      flags.filter(({ flags: text }) => !/^--(kinds|to) /.test(text)),
      options,
      context.io.directory,
    );
    return runAndReport(recipe, options, context);
  },
};
