import { findSites } from '../analysis/sites.ts';
import type { NumericArray, Sample } from '../calibration/dataset.ts';
import { CompressError } from '../errors.ts';
import type { Program } from '../ir/graph.ts';
import { arrayOfNumbers, castArray, filledArray } from './arrays.ts';
import type { Feeds, Session } from './session.ts';
import { formatSignature, type InputSignature, inputSignature } from './signature.ts';

/** What must be known of a model to feed it with samples. */
export interface Binding {
  readonly signature: readonly InputSignature[];
  /** The input that takes token ids, where there is one. */
  readonly idsInput: string | undefined;
  /** Rows of the embedding that token ids are looked up in. */
  readonly vocabulary: number | undefined;
}

const isInteger = (input: InputSignature): boolean => input.dtype === 'int64' || input.dtype === 'int32';

/** How a program is fed: its inputs, which of them takes token ids, and how many ids it knows. */
export const bindingOf = (program: Program): Binding => {
  const signature = inputSignature(program);
  const integers = signature.filter(isInteger);
  const idsInput =
    signature.find((input) => input.name === 'input_ids')?.name ??
    (integers.length === 1 ? integers[0]?.name : undefined);
  const readsIds = findSites(program).find((site) => {
    const source = site.input.producer?.op === 'Cast' ? site.input.producer.inputs[0] : site.input;
    return site.op === 'Gather' && source?.name === idsInput;
  });
  return { signature, idsInput, vocabulary: readsIds?.rows };
};

type SingleSample = Exclude<Sample, { kind: 'sequence' }>;

const dataError = (message: string, item: string, hint?: string): CompressError =>
  new CompressError({ code: 'data', message: `${item}: ${message}`, ...(hint ? { hint } : {}) });

const checkIds = (ids: Int32Array, vocabulary: number | undefined, item: string): void => {
  if (vocabulary === undefined) return;
  const position = ids.findIndex((id) => id < 0 || id >= vocabulary);
  if (position >= 0)
    throw dataError(
      `token id ${ids[position]} at position ${position} is beyond the model's vocabulary of ${vocabulary}`,
      item,
      'The tokens were made by another tokenizer than the model’s.',
    );
};

/**
 * What an input of a decoder or encoder is fed with for one window of `length` tokens: an empty past, a mask of ones,
 * positions from 0. undefined for inputs of another meaning.
 */
const tokenInput = (input: InputSignature, length: number): NumericArray | undefined => {
  const { name, dtype } = input;
  if (name === 'attention_mask') return filledArray(dtype, [1, length], 1);
  if (name === 'position_ids')
    return arrayOfNumbers(
      dtype,
      [1, length],
      Float64Array.from({ length }, (_, index) => index),
    );
  if (name === 'token_type_ids') return filledArray(dtype, [1, length], 0);
  if (name === 'use_cache_branch') return filledArray(dtype, [1], 0);
  if (name.startsWith('past_key_values') && input.shape)
    return filledArray(
      dtype,
      input.shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : 0)),
      0,
    );
  return undefined;
};

const bindTokens = (ids: Int32Array, binding: Binding, item: string): Feeds => {
  const { signature, idsInput, vocabulary } = binding;
  if (idsInput === undefined)
    throw dataError(`the model takes no token ids (its inputs are ${formatSignature(signature)})`, item);
  checkIds(ids, vocabulary, item);
  const feeds = new Map<string, NumericArray>();
  for (const input of signature) {
    const array =
      input.name === idsInput ? arrayOfNumbers(input.dtype, [1, ids.length], ids) : tokenInput(input, ids.length);
    if (!array)
      throw dataError(
        `it is not known what to feed the input ${formatSignature([input])} with`,
        item,
        'Give all inputs as arrays (arrays: inputs.npz).',
      );
    feeds.set(input.name, checkShape(array, input, item));
  }
  return feeds;
};

/** @throws CompressError 'mismatch' when an array does not have the dimensions that the model states. */
const checkShape = (array: NumericArray, input: InputSignature, item: string): NumericArray => {
  const { shape } = input;
  const fits =
    !shape ||
    (shape.length === array.shape.length &&
      shape.every((dim, axis) => typeof dim !== 'number' || dim === array.shape[axis]));
  if (fits) return array;
  throw new CompressError({
    code: 'mismatch',
    message: `${item}: the data is [${array.shape.join(', ')}], but the model takes ${formatSignature([input])}`,
    hint: 'Change the window, the preprocessing (resize, crop, layout) or the arrays.',
  });
};

const bindArrays = (arrays: ReadonlyMap<string, NumericArray>, binding: Binding, item: string): Feeds => {
  const { signature } = binding;
  const feeds = new Map<string, NumericArray>();
  for (const input of signature) {
    const array = arrays.get(input.name) ?? (signature.length === 1 ? arrays.get('') : undefined);
    if (!array)
      throw dataError(
        `there is nothing for the input ${formatSignature([input])}`,
        item,
        `The sample has ${[...arrays.keys()].map((name) => name || 'one unnamed array').join(', ')}.`,
      );
    feeds.set(input.name, checkShape(castArray(array, input.dtype), input, item));
  }
  return feeds;
};

/**
 * Feeds for a sample that takes one run.
 * @param item what the sample is called in messages: 'sample 3 of text:corpus.txt'.
 * @throws CompressError 'data' or 'mismatch'.
 */
export const bindSample = (sample: SingleSample, binding: Binding, item: string): Feeds =>
  sample.kind === 'tokens' ? bindTokens(sample.ids, binding, item) : bindArrays(sample.arrays, binding, item);

/** One run of a model over (a step of) a sample. */
export interface SampleStep {
  readonly feeds: Feeds;
  readonly outputs: Map<string, NumericArray>;
}

/**
 * Runs a session over a sample: once, or for a sequence once a step with the state carried along.
 * @param wanted outputs to compute; all by default.
 */
export async function* runSample(
  session: Session,
  sample: Sample,
  binding: Binding,
  item: string,
  wanted?: readonly string[],
): AsyncGenerator<SampleStep> {
  if (sample.kind !== 'sequence') {
    const feeds = bindSample(sample, binding, item);
    yield { feeds, outputs: await session.run(feeds, wanted) };
    return;
  }
  const carried = new Map(sample.initial);
  const needed = wanted && [...new Set([...wanted, ...sample.carry.keys()])];
  for (const [index, step] of sample.steps.entries()) {
    const feeds = bindArrays(new Map([...step, ...carried]), binding, `${item}, step ${index}`);
    const outputs = await session.run(feeds, needed);
    for (const [output, input] of sample.carry) {
      const state = outputs.get(output);
      if (!state) throw dataError(`the model has no output ${output} to carry to ${input}`, item);
      carried.set(input, state);
    }
    yield { feeds, outputs };
  }
}
