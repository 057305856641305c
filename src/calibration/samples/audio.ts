import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { arrayOfNumbers, filledArray, floatArray } from '../../execution/arrays.ts';
import { formatSignature, type InputSignature } from '../../execution/signature.ts';
import { elementCount, isStatic } from '../../ir/shape.ts';
import type { NumericArray, Sample } from '../dataset.ts';
import { chooseSamples, resolvePath, type Selection, selectionFields, selectionOf } from './fields.ts';
import { checkPath, fingerprintOf } from './fingerprint.ts';
import type { DatasetKind } from './kind.ts';
import { decodeWav } from './wav.ts';

interface AudioOptions {
  readonly audio: string;
  readonly window: number;
  readonly context: number;
  readonly rate: number | undefined;
  readonly input: string | undefined;
  readonly constants: Readonly<Record<string, number>>;
  readonly carry: Readonly<Record<string, string>>;
  readonly selection: Selection;
}

const spec = z
  .strictObject({
    audio: z.string().describe('A WAV file, or a folder of them.'),
    window: z.int().min(1).describe('New sound samples that the model gets at a time.'),
    context: z
      .int()
      .min(0)
      .default(0)
      .describe('Sound samples of the window before that are put in front; zeros for the first.'),
    rate: z.int().min(1).optional().describe('Sampling rate that the model needs, in Hz: other files are refused.'),
    input: z
      .string()
      .optional()
      .describe('Model input for the sound; by default the only floating-point input that is not carried.'),
    constants: z
      .record(z.string(), z.number())
      .default({})
      .describe('Numbers for further inputs, such as { sr: 16000 }.'),
    carry: z
      .record(z.string(), z.string())
      .default({})
      .describe('State that goes from each window to the next: { output: input }. It begins as zeros.'),
    ...selectionFields,
  })
  .transform(
    (input, issues): AudioOptions => ({
      audio: input.audio,
      window: input.window,
      context: input.context,
      rate: input.rate,
      input: input.input,
      constants: input.constants,
      carry: input.carry,
      selection: selectionOf(input, issues),
    }),
  );

/** Windows of sound with their context in front: [1, context + window] each; what does not fill a window is left out. */
const cutWindows = (samples: Float32Array, options: AudioOptions): NumericArray[] => {
  const { window, context } = options;
  return Array.from({ length: Math.floor(samples.length / window) }, (_, index) => {
    const data = new Float32Array(context + window);
    const begin = index * window - context;
    data.set(samples.subarray(Math.max(0, begin), (index + 1) * window), Math.max(0, -begin));
    return floatArray([1, context + window], data);
  });
};

/** An input that is filled with one number; free dimensions are 1. */
const constantInput = (input: InputSignature, value: number): NumericArray => {
  const shape = (input.shape ?? []).map((dim) => (typeof dim === 'number' ? dim : 1));
  return isStatic(shape) && elementCount(shape) === 1
    ? arrayOfNumbers(input.dtype, shape, [value])
    : filledArray(input.dtype, shape, value);
};

const findInput = (inputs: readonly InputSignature[], name: string, key: string): InputSignature => {
  const found = inputs.find((input) => input.name === name);
  if (found) return found;
  throw new CompressError({
    code: 'data',
    message: `the model has no input ${name} (it has ${formatSignature(inputs)})`,
    where: { key },
  });
};

/** The input that the sound goes to. */
const soundInput = (options: AudioOptions, inputs: readonly InputSignature[]): string => {
  if (options.input !== undefined) return findInput(inputs, options.input, 'input').name;
  const taken = new Set([...Object.keys(options.constants), ...Object.values(options.carry)]);
  const free = inputs.filter((input) => !taken.has(input.name));
  const [only] = free;
  if (free.length === 1 && only) return only.name;
  throw new CompressError({
    code: 'data',
    message: `cannot tell which input the sound belongs to (${formatSignature(free)})`,
    hint: 'Name it with input; give the others with constants or carry.',
  });
};

const listSounds = async (path: string): Promise<string[]> => {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) {
    await checkPath(path, 'file');
    return [path];
  }
  const names = await readdir(path);
  return names
    .filter((name) => name.toLowerCase().endsWith('.wav'))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => join(path, name));
};

/** WAV files cut into windows, with state carried from window to window. */
export const audio: DatasetKind<AudioOptions> = {
  name: 'audio',
  summary: 'WAV files cut into windows, with context and state carried from one window to the next',
  spec,
  open: async (options, context) => {
    const { modelInputs } = context;
    const path = resolvePath(options.audio, context);
    const files = await listSounds(path);
    const input = soundInput(options, modelInputs);
    const constants = Object.entries(options.constants).map(
      ([name, value]) => [name, constantInput(findInput(modelInputs, name, 'constants'), value)] as const,
    );
    const initial = new Map(
      Object.values(options.carry).map((name) => [name, constantInput(findInput(modelInputs, name, 'carry'), 0)]),
    );
    const carries = initial.size > 0;

    const windowsOf = async (file: string): Promise<NumericArray[]> => {
      const sound = decodeWav(await readFile(file), file);
      if (options.rate !== undefined && sound.rate !== options.rate)
        throw new CompressError({
          code: 'data',
          message: `the sound has ${sound.rate} samples a second, the model needs ${options.rate}`,
          where: { file },
          hint: 'Convert it to the model’s rate.',
        });
      const windows = cutWindows(sound.samples, options);
      if (windows.length > 0) return windows;
      throw new CompressError({
        code: 'data',
        message: `${sound.samples.length} samples of sound do not fill a window of ${options.window}`,
        where: { file },
      });
    };

    // Windows that depend on each other are the steps of one sample a file; others are samples of their own.
    const items: { file: string; step?: number }[] = [];
    for (const file of files) {
      const count = (await windowsOf(file)).length;
      if (carries) items.push({ file });
      else for (let step = 0; step < count; step++) items.push({ file, step });
    }
    const unit = carries ? 'WAV files' : 'windows of sound';
    const chosen = chooseSamples(items.length, options.selection, { file: path, unit, seed: context.seed });
    let latest: { file: string; windows: NumericArray[] } | undefined;
    const { audio: _, ...facts } = options;
    return {
      description: `audio:${options.audio}`,
      fingerprint: await fingerprintOf('audio', { ...facts, seed: context.seed }, files),
      length: chosen.length,
      sample: async (index): Promise<Sample> => {
        const item = items[chosen[index] ?? -1];
        if (!item) throw new RangeError(`sample ${index} of ${chosen.length}`);
        if (latest?.file !== item.file) latest = { file: item.file, windows: await windowsOf(item.file) };
        const feeds = latest.windows.map((window) => new Map([[input, window], ...constants]));
        if (item.step !== undefined) return { kind: 'arrays', arrays: feeds[item.step]! };
        return { kind: 'sequence', steps: feeds, initial, carry: new Map(Object.entries(options.carry)) };
      },
    };
  },
};
