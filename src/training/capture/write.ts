import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonObject } from '../../artifact/json-file.ts';
import { StagedFile } from '../../artifact/staged-file.ts';
import { CompressError } from '../../errors.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import { hashBytes } from '../../kernels/index.ts';
import type { Teacher, TeacherRows } from '../teacher.ts';
import {
  type CaptureFacts,
  type CapturePlan,
  captureName,
  captureSchema,
  encodeShard,
  shardCount,
  shardPath,
} from './format.ts';
import { greatestChances } from './greatest.ts';

export interface CaptureOptions {
  readonly folder: string;
  readonly plan: CapturePlan;
  /** Gives scores before a softmax as its only value. */
  readonly teacher: Teacher;
  /** Samples done. */
  readonly onProgress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

const writeFile = async (path: string, bytes: Uint8Array): Promise<void> => {
  const file = await StagedFile.create(path);
  try {
    await file.write(bytes);
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
};

const jsonOf = (facts: CaptureFacts): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(facts, undefined, 2)}\n`);

/** Whether two captures have the same bytes, whatever model and data are called. */
const sameCapture = (a: CapturePlan, b: CapturePlan): boolean =>
  (['program', 'dataset', 'samples', 'classes', 'kept', 'temperature', 'shard'] as const).every(
    (key) => a[key] === b[key],
  );

/** @throws 'unsafe' for a folder with other files, or with a capture of something else. */
const prepareFolder = async (folder: string, plan: CapturePlan): Promise<void> => {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, captureName);
  if (existsSync(path)) {
    const known = captureSchema.safeParse(readJsonObject(path));
    if (known.success && sameCapture(known.data, plan)) return;
    throw new CompressError({
      code: 'unsafe',
      message: 'the folder holds what was captured of another model, other data or with other settings',
      where: { file: path },
      hint: 'Choose a new folder, or remove this one.',
    });
  }
  const [other] = readdirSync(folder);
  if (other !== undefined)
    throw new CompressError({
      code: 'unsafe',
      message: `the folder holds ${other}, which is no capture`,
      where: { file: folder },
      hint: 'Choose a new or empty folder.',
    });
  await writeFile(path, jsonOf(plan));
};

/**
 * Stores what a teacher gives for every sample of a dataset: of each row the greatest chances and the rest of them
 * together. Shards that an earlier call has finished are kept, so that a capture that was stopped goes on.
 * @throws as `prepareFolder`, `Teacher.rowsOf`; 'resource' when the disk refuses, 'interrupted'.
 */
export const capture = async (options: CaptureOptions): Promise<CaptureFacts> => {
  const { folder, plan, teacher, onProgress, signal } = options;
  await prepareFolder(folder, plan);
  const shards: { bytes: number; blake3: string }[] = [];
  for (let index = 0; index < shardCount(plan); index++) {
    const path = shardPath(folder, index);
    const [begin, end] = [index * plan.shard, Math.min(plan.samples, (index + 1) * plan.shard)];
    let bytes: Uint8Array;
    if (existsSync(path)) bytes = readFileSync(path);
    else {
      const samples: TeacherRows[] = [];
      for (let sample = begin; sample < end; sample++) {
        checkSignal(signal);
        const [rows] = await teacher.rowsOf(sample);
        samples.push(greatestChances(rows!.data, rows!.width, plan.kept, plan.temperature));
        onProgress(sample + 1, plan.samples);
      }
      bytes = encodeShard(samples, plan);
      await writeFile(path, bytes);
    }
    shards.push({ bytes: bytes.length, blake3: hashBytes(bytes) });
    onProgress(end, plan.samples);
  }
  const facts = { ...plan, shards };
  await writeFile(join(folder, captureName), jsonOf(facts));
  return facts;
};
