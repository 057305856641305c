import type { RecipeFlag } from '../recipe-flags.ts';
import { stageCommand } from '../stage-command.ts';

const stage = ['stages', 0, 'quantize'] as const;

const quantizeFlags: readonly RecipeFlag[] = [
  {
    flags: '-b, --bits <n>',
    description: 'bits of a weight: 2, 3, 4 or 8 (default 4)',
    key: [...stage, 'weights', 'bits'],
    reads: 'yaml',
  },
  {
    flags: '-g, --group-size <n>',
    description: 'inputs that share a scale, or row (default 32)',
    key: [...stage, 'weights', 'group_size'],
    reads: 'yaml',
  },
  { flags: '--symmetric', description: 'no zero points', key: [...stage, 'weights', 'sym'], reads: 'given' },
  {
    flags: '--clip <search>',
    description: 'search of a narrower range: none, mse or hessian',
    key: [...stage, 'weights', 'clip'],
    reads: 'text',
  },
  {
    flags: '-m, --method <name>',
    description: 'auto, rtn, gptq (default auto)',
    key: [...stage, 'method'],
    reads: 'text',
  },
  {
    flags: '-c, --calibration <data>',
    description: 'data that methods look at; give it again for several',
    key: ['data', 'calibration'],
    reads: 'texts',
  },
  {
    flags: '--activations <mode>',
    description: 'none, static or dynamic 8-bit activations (default none)',
    key: [...stage, 'activations'],
    reads: 'text',
  },
  {
    flags: '--precision <type>',
    description: 'convert to float16, bfloat16 or float32 instead',
    key: [...stage, 'precision'],
    reads: 'text',
  },
  {
    flags: '--targets <pattern>',
    description: 'sites to quantize; give it again for several (default all)',
    key: [...stage, 'targets'],
    reads: 'texts',
  },
  {
    flags: '--ignore <pattern>',
    description: 'sites to leave; give it again for several',
    key: [...stage, 'ignore'],
    reads: 'texts',
  },
  {
    flags: '--damp <share>',
    description: 'share of the mean diagonal of H added (default 0.01; 0.2 for qronos and curvature)',
    key: [...stage, 'damp'],
    reads: 'yaml',
  },
  {
    flags: '--no-act-order',
    description: 'gptq: round inputs in their natural order',
    key: [...stage, 'act_order'],
    reads: 'refused',
  },
];

/** One quantize stage without a recipe file. */
export const quantizeCommand = stageCommand(
  'quantize',
  quantizeFlags,
  `
DATA is kind:path,key=value,… such as text:corpus.txt,window=512,samples=64 or images:folder,labels=labels.csv.

Examples:
  $ compress quantize model.onnx --output out/w4 --bits 4 --group-size 32 --to onnx-matmulnbits
  $ compress quantize checkpoint --output out/gptq --bits 4 --calibration text:corpus.txt,window=512,samples=64
  $ compress quantize cnn.onnx --output out/int8 --activations static --calibration images:photos
  $ compress quantize model.onnx --output out/half --precision float16`,
);
