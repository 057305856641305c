import { CompressError, type ErrorFacts } from '../errors.ts';

/** A message of onnxruntime that has a known meaning. */
interface KnownMessage {
  readonly pattern: RegExp;
  readonly code: ErrorFacts['code'];
  readonly hint: string;
}

const knownMessages: readonly KnownMessage[] = [
  {
    pattern: /is not a registered function\/op|No Op registered for/i,
    code: 'unsupported',
    hint: 'onnxruntime does not know this operator: check its domain and the operator set that the model imports.',
  },
  {
    pattern: /Could not find an implementation for/i,
    code: 'unsupported',
    hint: 'onnxruntime knows the operator but not for these element types or on this execution provider: convert it to float32, or leave it out of the conversion.',
  },
  {
    pattern: /Unsupported model IR version|is under development|is till opset/i,
    code: 'unsupported',
    hint: 'The model is newer than the installed onnxruntime: update onnxruntime-node, or export with an older operator set.',
  },
  {
    pattern: /bad_?alloc|Failed to allocate memory|not enough memory|out of memory/i,
    code: 'resource',
    hint: 'Use shorter windows or smaller pictures, or a machine with more memory.',
  },
  {
    pattern: /Invalid dimensions for input|Got invalid dimensions|Unexpected input data type|Invalid rank for input/i,
    code: 'mismatch',
    hint: 'The data does not have the shape or type that the model states: compare with compress inspect.',
  },
  {
    pattern: /Missing Input|Missing the following inputs|is missing in 'feeds'/i,
    code: 'data',
    hint: 'Give data for every input of the model (arrays: inputs.npz).',
  },
  {
    pattern: /execution ?provider|backend not found|no available backend|WebGPU adapter/i,
    code: 'unsupported',
    hint: 'This execution provider is not part of the installed onnxruntime-node, or finds no device here: use cpu.',
  },
];

/** onnxruntime's words without its build paths and error numbers. */
const cleanMessage = (text: string): string =>
  text
    .replaceAll(/\/\S+\/onnxruntime\/\S*:\d+ [^\n]*?(?=\s(?:[A-Z]|'))/g, '')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** @param task what was tried: 'load the model', 'run the model'. */
export const onnxruntimeError = (
  cause: unknown,
  task: string,
  model: string,
  fallbackCode: ErrorFacts['code'],
): CompressError => {
  const text = cause instanceof Error ? cause.message : String(cause);
  const known = knownMessages.find(({ pattern }) => pattern.test(text));
  const node =
    /[Nn]ode\.? (?:with name |Name:)\s*'?([^'\s]+)'?/.exec(text)?.[1] ?? /\(node ([^)\s]+)\)/.exec(text)?.[1];
  return new CompressError({
    code: known?.code ?? fallbackCode,
    message: `onnxruntime could not ${task} ${model}: ${cleanMessage(text)}`,
    ...(node ? { where: { node } } : {}),
    ...(known ? { hint: known.hint } : {}),
    cause,
  });
};
