import { join } from 'node:path';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { bytesToFloat, floatToBytes } from '../../kernels/index.ts';
import type { TeacherRows } from '../teacher.ts';

/** File of a capture that says what it holds. */
export const captureName = 'capture.json';

/** What decides the bytes of a capture. */
const planSchema = z.strictObject({
  format: z.literal('modelpress-capture'),
  version: z.literal(1),
  /** The model as it was named, for messages. */
  teacher: z.string(),
  /** Of everything that the model computes. */
  program: z.string(),
  description: z.string(),
  /** Of the dataset. */
  dataset: z.string(),
  samples: z.int().min(1),
  /** Classes that the model scores, and how many of the greatest chances of a row were kept. */
  classes: z.int().min(2),
  kept: z.int().min(1),
  temperature: z.number().positive(),
  /** Samples of a shard. */
  shard: z.int().min(1),
});

export const captureSchema = planSchema.extend({
  /** BLAKE3 of each shard, once all are written. */
  shards: z.array(z.strictObject({ bytes: z.int(), blake3: z.string() })).optional(),
});

export type CapturePlan = z.output<typeof planSchema>;
export type CaptureFacts = z.output<typeof captureSchema>;

export const shardCount = ({ samples, shard }: CapturePlan): number => Math.ceil(samples / shard);

export const shardPath = (folder: string, index: number): string =>
  join(folder, `scores-${String(index).padStart(5, '0')}.bin`);

/** Bytes of a class number. */
const classBytes = (classes: number): 2 | 4 => (classes <= 2 ** 16 ? 2 : 4);

const bytesOf = (array: Uint16Array | Uint32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** A sample's kept classes, then the logarithms of chances in half precision, deflated. */
const encodeSample = ({ data, classes }: TeacherRows, plan: CapturePlan): Uint8Array => {
  const numbers = classBytes(plan.classes) === 2 ? Uint16Array.from(classes!) : Uint32Array.from(classes!);
  return deflateRawSync(Buffer.concat([bytesOf(numbers), floatToBytes(data, 'float16')]), { level: 9 });
};

const decodeSample = (bytes: Uint8Array, rows: number, plan: CapturePlan): TeacherRows => {
  const raw = inflateRawSync(bytes);
  const { kept, classes: count } = plan;
  const size = rows * kept * classBytes(count);
  const numbers = raw.buffer.slice(raw.byteOffset, raw.byteOffset + size);
  const classes = Int32Array.from(classBytes(count) === 2 ? new Uint16Array(numbers) : new Uint32Array(numbers));
  const data = bytesToFloat(raw.subarray(size), 'float16');
  return { data, width: kept + 1, shape: [rows, kept + 1], classes };
};

/** Samples of a shard: their number, then rows and compressed bytes of each, all little-endian in 4 bytes, then the bytes. */
export const encodeShard = (samples: readonly TeacherRows[], plan: CapturePlan): Uint8Array => {
  const blocks = samples.map((rows) => encodeSample(rows, plan));
  const head = new Uint32Array(1 + 2 * samples.length);
  head[0] = samples.length;
  samples.forEach(({ data, width }, index) => {
    head[1 + 2 * index] = data.length / width;
    head[2 + 2 * index] = blocks[index]!.length;
  });
  return new Uint8Array(Buffer.concat([bytesOf(head), ...blocks]));
};

/** One sample of a shard, by its place in it. @throws 'malformed' for bytes that `encodeShard` did not make. */
export const sampleOfShard = (bytes: Uint8Array, place: number, plan: CapturePlan, file: string): TeacherRows => {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lengthOf = (index: number): number => view.readUInt32LE(8 + 8 * index);
  try {
    let at = 4 + 8 * view.readUInt32LE(0);
    for (let index = 0; index < place; index++) at += lengthOf(index);
    return decodeSample(view.subarray(at, at + lengthOf(place)), view.readUInt32LE(4 + 8 * place), plan);
  } catch (cause) {
    throw new CompressError({
      code: 'malformed',
      message: 'the captured scores cannot be read',
      where: { file },
      hint: 'Capture them again into an empty folder.',
      cause,
    });
  }
};
