import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CompressError } from '../errors.ts';
import { hashFile } from '../kernels/index.ts';
import type { MetricResult } from '../recipe/events.ts';
import { readJsonObject } from './json-file.ts';
import { type Manifest, manifestSchema } from './manifest-schema.ts';

export const manifestName = 'manifest.json';

/** The manifest of an output folder, or undefined where there is none. @throws malformed, unsupported. */
export const readManifest = (directory: string): Manifest | undefined => {
  const path = join(directory, manifestName);
  if (!existsSync(path)) return undefined;
  const value = readJsonObject(path);
  const parsed = manifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const version = value.schemaVersion;
  throw new CompressError({
    code: typeof version === 'number' && version !== 1 ? 'unsupported' : 'malformed',
    message:
      typeof version === 'number' && version !== 1
        ? `the manifest has schema version ${version}; this program knows version 1`
        : `not a manifest of modelpress: ${issue?.message}`,
    where: { file: path, ...(issue && issue.path.length > 0 ? { key: issue.path.join('.') } : {}) },
  });
};

/** Lists of numbers on one line; line breaks inside of texts are escaped, so only structure can match. */
const joinNumbers = (json: string): string =>
  json.replaceAll(
    /\[\n\s*((?:-?\d+,\n\s*)*-?\d+)\n\s*\]/g,
    (_, numbers: string) => `[${numbers.replaceAll(/,\n\s*/g, ', ')}]`,
  );

/** A manifest as bytes: keys in the order of the schema, two spaces deep. */
export const manifestBytes = (manifest: Manifest): Uint8Array =>
  new TextEncoder().encode(`${joinNumbers(JSON.stringify(manifestSchema.parse(manifest), null, 2))}\n`);

/** A measured value as the manifest holds it. `format` is the one whose files were measured. */
export const metricEntry = (
  model: 'before' | 'after',
  result: MetricResult,
  format?: string,
): Manifest['metrics'][number] => ({
  model,
  ...(format === undefined ? {} : { format }),
  ...result,
  value: Number.isFinite(result.value) ? result.value : null,
});

export interface Verification {
  readonly manifest: Manifest;
  /** One for each file that is missing or not what the manifest says. */
  readonly problems: readonly CompressError[];
}

/** Whether a path of a manifest stays in its folder. */
const isInside = (path: string): boolean =>
  !path.startsWith('/') && !path.split(/[\\/]/).includes('..') && !/^[a-z]:/i.test(path);

const checkFile = async (directory: string, file: Manifest['files'][number]): Promise<CompressError | undefined> => {
  const path = join(directory, file.path);
  if (!isInside(file.path))
    return new CompressError({
      code: 'unsafe',
      message: `the manifest names ${file.path}, which is outside of its folder`,
      where: { file: path },
    });
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined)
    return new CompressError({
      code: 'not-found',
      message: 'the manifest lists this file, but it is missing',
      where: { file: path },
    });
  if (size !== file.bytes)
    return new CompressError({
      code: 'mismatch',
      message: `the file has ${size} bytes, the manifest says ${file.bytes}`,
      where: { file: path },
    });
  const found = await hashFile(path);
  if (found === file.blake3) return undefined;
  return new CompressError({
    code: 'mismatch',
    message: `the file's BLAKE3 is ${found}, the manifest says ${file.blake3}`,
    where: { file: path },
    hint: 'The file was changed after it was written.',
  });
};

/** Checks every file of an output against its manifest. @throws not-found when there is no manifest. */
export const verifyManifest = async (directory: string): Promise<Verification> => {
  const manifest = readManifest(directory);
  if (!manifest)
    throw new CompressError({
      code: 'not-found',
      message: `the folder has no ${manifestName}`,
      where: { file: directory },
    });
  const problems: CompressError[] = [];
  for (const file of manifest.files) {
    const problem = await checkFile(directory, file);
    if (problem) problems.push(problem);
  }
  return { manifest, problems };
};
