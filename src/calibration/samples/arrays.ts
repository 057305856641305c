import { readFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { numbersOfArray } from '../../execution/arrays.ts';
import type { InputSignature } from '../../execution/signature.ts';
import type { NumericArray } from '../dataset.ts';
import { chooseSamples, resolvePath, type Selection, selectionFields, selectionOf } from './fields.ts';
import { checkPath, fingerprintOf } from './fingerprint.ts';
import type { DatasetContext, DatasetKind } from './kind.ts';
import { decodeNpy, decodeNpz, rowOf } from './npy.ts';

interface ArraysOptions {
  readonly arrays: string;
  readonly inputs: Readonly<Record<string, string>>;
  readonly labels: string | undefined;
  readonly selection: Selection;
}

const spec = z
  .strictObject({
    arrays: z
      .string()
      .describe(
        'A .npz archive of arrays (one per model input), or one .npy array for the only input. The first axis counts samples.',
      ),
    inputs: z
      .record(z.string(), z.string())
      .default({})
      .describe('Model input for arrays whose names differ from it: { array: input }.'),
    labels: z
      .string()
      .optional()
      .describe('Class labels: the name of an array in the archive (default labels or label), or a .npy file.'),
    ...selectionFields,
  })
  .transform(
    (input, issues): ArraysOptions => ({
      arrays: input.arrays,
      inputs: input.inputs,
      labels: input.labels,
      selection: selectionOf(input, issues),
    }),
  );

const labelNames = ['labels', 'label'];

/** The label array among the arrays of a file, taken out of them. */
const takeLabels = (
  arrays: Map<string, NumericArray>,
  wanted: string | undefined,
  inputNames: readonly string[],
): NumericArray | undefined => {
  const name = wanted ?? labelNames.find((candidate) => arrays.has(candidate) && !inputNames.includes(candidate));
  const labels = name === undefined ? undefined : arrays.get(name);
  if (name !== undefined) arrays.delete(name);
  return labels;
};

/** Which model input each array is for. @throws CompressError 'data' naming arrays and inputs. */
const assignInputs = (
  arrays: ReadonlyMap<string, NumericArray>,
  inputs: readonly InputSignature[],
  renamed: Readonly<Record<string, string>>,
  file: string,
): Map<string, NumericArray> => {
  const names = inputs.map((input) => input.name);
  const [only] = names;
  if (arrays.size === 1 && names.length === 1 && only !== undefined && Object.keys(renamed).length === 0)
    return new Map([...arrays.values()].map((array) => [only, array]));
  const assigned = new Map<string, NumericArray>();
  for (const [name, array] of arrays) {
    const input = Object.hasOwn(renamed, name) ? renamed[name] : name;
    if (input !== undefined && names.includes(input)) assigned.set(input, array);
  }
  const missing = names.filter((name) => !assigned.has(name));
  if (missing.length === 0) return assigned;
  throw new CompressError({
    code: 'data',
    message: `no array for the model inputs ${missing.join(', ')} (the file has ${[...arrays.keys()].join(', ') || 'none'})`,
    where: { file },
    hint: 'Say which array belongs to which input: inputs: { array: input }.',
  });
};

const readArrays = async (file: string): Promise<Map<string, NumericArray>> => {
  const bytes = await readFile(file);
  if (extname(file).toLowerCase() === '.npy') return new Map([[basename(file, extname(file)), decodeNpy(bytes, file)]]);
  return decodeNpz(bytes, file);
};

/** Checks that all arrays hold equally many samples and gives their number. */
const countSamples = (
  arrays: ReadonlyMap<string, NumericArray>,
  labels: NumericArray | undefined,
  file: string,
): number => {
  const lengths = new Map(
    [...arrays, ...(labels ? [['labels', labels] as const] : [])].map(([name, array]) => [name, array.shape[0]]),
  );
  const distinct = new Set(lengths.values());
  const [count] = distinct;
  if (distinct.size === 1 && count !== undefined) return count;
  throw new CompressError({
    code: 'data',
    message: `the arrays hold different numbers of samples: ${[...lengths].map(([name, length]) => `${name} ${length ?? 'scalar'}`).join(', ')}`,
    where: { file },
  });
};

/** Labels of a file of their own. */
const readLabelFile = async (
  labels: string,
  context: DatasetContext,
): Promise<{ file: string; array: NumericArray }> => {
  const file = resolvePath(labels, context);
  await checkPath(file, 'file');
  return { file, array: decodeNpy(await readFile(file), file) };
};

/** Arrays by model input. */
export const arrays: DatasetKind<ArraysOptions> = {
  name: 'arrays',
  summary: 'NumPy arrays (.npz or .npy), samples along the first axis',
  spec,
  open: async (options, context) => {
    const file = resolvePath(options.arrays, context);
    await checkPath(file, 'file');
    const found = await readArrays(file);
    const names = context.modelInputs.map((input) => input.name);
    const labelFile = options.labels?.endsWith('.npy') ? await readLabelFile(options.labels, context) : undefined;
    const labels = labelFile?.array ?? takeLabels(found, options.labels, names);
    if (options.labels !== undefined && !labels)
      throw new CompressError({ code: 'data', message: `there is no array ${options.labels} in it`, where: { file } });
    const inputs = assignInputs(found, context.modelInputs, options.inputs, file);
    const count = countSamples(inputs, labels, file);
    const chosen = chooseSamples(count, options.selection, { file, unit: 'samples', seed: context.seed });
    const labelNumbers = labels && numbersOfArray(labels);
    const files = labelFile ? [file, labelFile.file] : [file];
    const facts = {
      inputs: options.inputs,
      labels: labelFile ? undefined : options.labels,
      selection: options.selection,
      seed: context.seed,
    };
    return {
      description: `arrays:${options.arrays}`,
      fingerprint: await fingerprintOf('arrays', facts, files),
      length: chosen.length,
      sample: async (index) => {
        const row = chosen[index];
        if (row === undefined) throw new RangeError(`sample ${index} of ${chosen.length}`);
        const label = labelNumbers?.[row];
        return {
          kind: 'arrays',
          arrays: new Map([...inputs].map(([name, array]) => [name, rowOf(array, row)])),
          ...(label === undefined ? {} : { label }),
        };
      },
    };
  },
};
