import type { CommandCard } from '../command.ts';

/** Every command of `compress`, in the order of its help. */
export const commands: readonly CommandCard[] = [
  {
    name: 'run',
    summary: 'run a recipe: compress, measure, write, hold against gates',
    load: async () => (await import('./run.ts')).runCommand,
  },
  {
    name: 'plan',
    summary: 'say what a recipe would do, and everything that is wrong with it',
    load: async () => (await import('./plan.ts')).planCommand,
  },
  {
    name: 'quantize',
    summary: 'quantize a model without writing a recipe',
    load: async () => (await import('./quantize.ts')).quantizeCommand,
  },
  {
    name: 'slice',
    summary: 'remove channels, heads and branches without writing a recipe',
    load: async () => (await import('./slice.ts')).sliceCommand,
  },
  {
    name: 'auto',
    summary: 'meet one budget by whatever loses least: ranks, removal, bits',
    load: async () => (await import('./auto.ts')).autoCommand,
  },
  {
    name: 'share',
    summary: 'let layers share weights without writing a recipe',
    load: async () => (await import('./share.ts')).shareCommand,
  },
  {
    name: 'exits',
    summary: 'let easy samples leave a classifier early',
    load: async () => (await import('./exits.ts')).exitsCommand,
  },
  {
    name: 'search',
    summary: 'run a recipe over a few values or chains and print the front of size and quality',
    load: async () => (await import('./search.ts')).searchCommand,
  },
  {
    name: 'factorize',
    summary: 'write weights as products of smaller ones without writing a recipe',
    load: async () => (await import('./factorize.ts')).factorizeCommand,
  },
  {
    name: 'sensitivity',
    summary: 'say what fewer bits lose at every weight, and choose bits within a budget',
    load: async () => (await import('./sensitivity.ts')).sensitivityCommand,
  },
  {
    name: 'distill',
    summary: 'train a model to behave like another one, without writing a recipe',
    load: async () => (await import('./distill.ts')).distillCommand,
  },
  {
    name: 'capture',
    summary: 'store what a model says of data, for students to learn from later',
    load: async () => (await import('./capture.ts')).captureCommand,
  },
  {
    name: 'export',
    summary: 'turn a Hugging Face checkpoint into ONNX',
    load: async () => (await import('./export.ts')).exportCommand,
  },
  {
    name: 'eval',
    summary: 'measure a model on data',
    load: async () => (await import('./eval.ts')).evalCommand,
  },
  {
    name: 'inspect',
    summary: 'describe a model or an output folder',
    load: async () => (await import('./inspect.ts')).inspectCommand,
  },
  {
    name: 'compare',
    summary: 'say how two models or two runs differ',
    load: async () => (await import('./compare.ts')).compareCommand,
  },
  {
    name: 'report',
    summary: 'what a run came to, or several runs side by side',
    load: async () => (await import('./report.ts')).reportCommand,
  },
  {
    name: 'watch',
    summary: 'show a run of another process, or one that has ended',
    load: async () => (await import('./watch.ts')).watchCommand,
  },
  {
    name: 'check',
    summary: 'try what was written in the runtime of its users (onnxruntime-web in a browser)',
    load: async () => (await import('./check.ts')).checkCommand,
  },
  {
    name: 'init',
    summary: 'write a recipe to start from',
    load: async () => (await import('./init.ts')).initCommand,
  },
  {
    name: 'schema',
    summary: 'print the JSON Schema of recipes, manifests or reports',
    load: async () => (await import('./schema.ts')).schemaCommand,
  },
  {
    name: 'completion',
    summary: 'print a script that completes commands in a shell',
    load: async () => (await import('./completion.ts')).completionCommand,
  },
  {
    name: 'doctor',
    summary: 'check that this machine can do the work',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
  {
    name: 'cache',
    summary: 'show or empty the store of finished stages',
    load: async () => (await import('./cache.ts')).cacheCommand,
  },
];
