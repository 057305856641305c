import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'fflate';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { chooseSamples, resolvePath, type Selection, selectionFields, selectionOf } from './fields.ts';
import { checkPath, fingerprintOf } from './fingerprint.ts';
import type { DatasetKind } from './kind.ts';
import {
  type Preprocessing,
  plainPreprocessing,
  preprocess,
  preprocessingSpec,
  type RawImage,
} from './preprocessing.ts';

interface RecordsOptions {
  readonly records: string;
  readonly format: 'cifar10' | 'idx';
  readonly labels: string | undefined;
  readonly preprocessing: Preprocessing;
  readonly selection: Selection;
}

const spec = z
  .strictObject({
    records: z.string().describe('File of pictures of equal size; .gz is unpacked.'),
    format: z
      .enum(['cifar10', 'idx'])
      .describe('cifar10: a label byte and 3 × 32 × 32 planar bytes each. idx: the format of MNIST.'),
    labels: z.string().optional().describe('IDX file of labels (cifar10 files hold them themselves).'),
    preprocessing: preprocessingSpec
      .optional()
      .describe('How a picture becomes the input of the model; by default pixels 0..255 as they are.'),
    ...selectionFields,
  })
  .refine(({ preprocessing }) => preprocessing?.resize === undefined && preprocessing?.crop === undefined, {
    message: 'pictures of records are not resized or cropped',
    path: ['preprocessing'],
  })
  .transform(
    (input, issues): RecordsOptions => ({
      records: input.records,
      format: input.format,
      labels: input.labels,
      preprocessing: input.preprocessing ?? plainPreprocessing,
      selection: selectionOf(input, issues),
    }),
  );

/** Pictures of a file and their classes. */
interface Records {
  readonly length: number;
  picture(index: number): RawImage;
  label(index: number): number | undefined;
}

const malformed = (message: string, file: string): CompressError =>
  new CompressError({ code: 'malformed', message, where: { file } });

const readUnpacked = async (file: string): Promise<Uint8Array> => {
  await checkPath(file, 'file');
  const bytes = await readFile(file);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (cause) {
    throw new CompressError({
      code: 'malformed',
      message: `the file cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: { file },
      cause,
    });
  }
};

const planeSize = 32 * 32;
const recordSize = 1 + 3 * planeSize;

/** CIFAR-10 binary version: <label><red plane><green plane><blue plane> for each picture. */
const cifarRecords = (bytes: Uint8Array, file: string): Records => {
  if (bytes.length % recordSize !== 0)
    throw malformed(`${bytes.length} bytes are no whole number of records of ${recordSize} bytes`, file);
  return {
    length: bytes.length / recordSize,
    label: (index) => bytes[index * recordSize],
    picture: (index) => {
      const planes = bytes.subarray(index * recordSize + 1, (index + 1) * recordSize);
      const pixels = new Uint8Array(planes.length);
      for (let at = 0; at < planeSize; at++)
        for (let channel = 0; channel < 3; channel++) pixels[3 * at + channel] = planes[channel * planeSize + at]!;
      return { width: 32, height: 32, channels: 3, pixels };
    },
  };
};

/** An IDX array of bytes: dimensions and where its elements begin. */
const readIdx = (bytes: Uint8Array, file: string): { dims: number[]; data: Uint8Array } => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rank = bytes[3] ?? 0;
  const begin = 4 + 4 * rank;
  if (bytes.length < begin || bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 0x08)
    throw malformed('this is no IDX file of bytes', file);
  const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (bytes.length - begin !== count)
    throw malformed(`dimensions [${dims.join(', ')}] need ${count} bytes, the file has ${bytes.length - begin}`, file);
  return { dims, data: bytes.subarray(begin) };
};

const idxRecords = (
  bytes: Uint8Array,
  file: string,
  labelBytes: Uint8Array | undefined,
  labelFile: string,
): Records => {
  const { dims, data } = readIdx(bytes, file);
  const [length = 0, height = 0, width = 0, channels = 1] = dims;
  if (dims.length < 3 || dims.length > 4 || (channels !== 1 && channels !== 3))
    throw malformed(
      `pictures are [number, height, width] or [number, height, width, 3], found [${dims.join(', ')}]`,
      file,
    );
  const labels = labelBytes && readIdx(labelBytes, labelFile);
  if (labels && (labels.dims.length !== 1 || labels.dims[0] !== length))
    throw malformed(`${labels.dims.join(' × ')} labels for ${length} pictures`, labelFile);
  const size = height * width * channels;
  return {
    length,
    label: (index) => labels?.data[index],
    picture: (index) => ({ width, height, channels, pixels: data.subarray(index * size, (index + 1) * size) }),
  };
};

/** Files of many small pictures. */
export const records: DatasetKind<RecordsOptions> = {
  name: 'records',
  summary: 'many small pictures in one file (CIFAR-10 binary, IDX as MNIST)',
  spec,
  open: async (options, context) => {
    const file = resolvePath(options.records, context);
    const labelFile = options.labels === undefined ? undefined : resolvePath(options.labels, context);
    const bytes = await readUnpacked(file);
    const labelBytes = labelFile === undefined ? undefined : await readUnpacked(labelFile);
    const found =
      options.format === 'cifar10' ? cifarRecords(bytes, file) : idxRecords(bytes, file, labelBytes, labelFile ?? '');
    const chosen = chooseSamples(found.length, options.selection, { file, unit: 'pictures', seed: context.seed });
    const { format, preprocessing, selection } = options;
    return {
      description: `records:${options.records}`,
      fingerprint: await fingerprintOf(
        'records',
        { format, preprocessing, selection, seed: context.seed },
        labelFile === undefined ? [file] : [file, labelFile],
      ),
      length: chosen.length,
      sample: async (index) => {
        const at = chosen[index];
        if (at === undefined) throw new RangeError(`sample ${index} of ${chosen.length}`);
        const label = found.label(at);
        return {
          kind: 'arrays',
          arrays: new Map([['', preprocess(found.picture(at), preprocessing)]]),
          ...(label === undefined ? {} : { label }),
        };
      },
    };
  },
};
