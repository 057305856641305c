import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonObject } from '../../artifact/json-file.ts';
import type { Dataset } from '../../calibration/dataset.ts';
import { CompressError } from '../../errors.ts';
import { hashBytes } from '../../kernels/index.ts';
import type { Teacher, TeacherRows } from '../teacher.ts';
import { type CaptureFacts, captureName, captureSchema, sampleOfShard, shardCount, shardPath } from './format.ts';

/** Whether a folder holds captured scores. */
export const isCapture = (folder: string): boolean => existsSync(join(folder, captureName));

/** What a folder of captured scores holds. @throws 'malformed' for another file, 'data' for an unfinished capture. */
export const readCapture = (folder: string): CaptureFacts => {
  const path = join(folder, captureName);
  const parsed = captureSchema.safeParse(readJsonObject(path));
  if (!parsed.success)
    throw new CompressError({
      code: 'malformed',
      message: `this describes no captured scores: ${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message}`,
      where: { file: path },
    });
  if (parsed.data.shards?.length === shardCount(parsed.data)) return parsed.data;
  throw new CompressError({
    code: 'data',
    message: 'the capture is not finished',
    where: { file: path },
    hint: 'Run the same compress capture again: it goes on where it stopped.',
  });
};

/** Captured scores as a teacher. It knows the samples of its dataset and nothing else. */
export class CapturedTeacher implements Teacher {
  readonly #folder: string;
  readonly #facts: CaptureFacts;
  /** Shards as they lie on disk, as far as they were needed. */
  readonly #shards = new Map<number, Uint8Array>();

  /** @throws 'mismatch' where the scores are of other samples than those of the dataset. */
  constructor(folder: string, facts: CaptureFacts, dataset: Dataset) {
    this.#folder = folder;
    this.#facts = facts;
    if (facts.dataset === dataset.fingerprint && facts.samples === dataset.length) return;
    throw new CompressError({
      code: 'mismatch',
      message: `the scores were captured on ${facts.samples} samples of ${facts.description}, and training uses ${dataset.length} of ${dataset.description}`,
      where: { file: join(folder, captureName) },
      hint: 'Train on the very data (and seed) that were captured, or capture again.',
    });
  }

  async rowsOf(index: number): Promise<readonly TeacherRows[]> {
    const { shard } = this.#facts;
    const number = Math.floor(index / shard);
    const bytes = this.#shards.get(number) ?? this.#read(number);
    return [sampleOfShard(bytes, index - number * shard, this.#facts, shardPath(this.#folder, number))];
  }

  async rowsFor(_: unknown, item: string): Promise<readonly TeacherRows[]> {
    throw new CompressError({
      code: 'usage',
      message: `only scores of the captured samples are known, and nothing of ${item}`,
      hint: 'Samples that the student generates need the teacher itself (teacher).',
    });
  }

  async close(): Promise<void> {
    this.#shards.clear();
  }

  #read(index: number): Uint8Array {
    const path = shardPath(this.#folder, index);
    const known = this.#facts.shards![index]!;
    const bytes = existsSync(path) ? readFileSync(path) : new Uint8Array();
    if (bytes.length === known.bytes && hashBytes(bytes) === known.blake3) {
      this.#shards.set(index, bytes);
      return bytes;
    }
    throw new CompressError({
      code: 'malformed',
      message: `the file of captured scores is not what was written (${bytes.length} bytes of ${known.bytes})`,
      where: { file: path },
      hint: 'Capture again into an empty folder.',
    });
  }
}
