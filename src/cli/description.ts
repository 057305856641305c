import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelDescription } from '../artifact/describe/description.ts';
import { describeModel } from '../artifact/describe.ts';
import { readManifest, verifyManifest } from '../artifact/manifest.ts';
import type { Manifest } from '../artifact/manifest-schema.ts';
import { formatError } from '../errors.ts';

/** What `inspect` found at a path. */
export interface PathDescription {
  /** One for each form in which the folder holds its model. */
  readonly models: readonly ModelDescription[];
  readonly manifest: Manifest | undefined;
  readonly verification: { readonly ok: boolean; readonly problems: readonly string[] } | undefined;
}

/** Describes every model at a path; an output folder may hold several forms of one. */
export const describePath = async (
  path: string,
  { verify }: { readonly verify: boolean },
): Promise<PathDescription> => {
  const manifest = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? readManifest(path) : undefined;
  const entries = manifest?.formats.flatMap(({ entry }) => (entry === undefined ? [] : [entry])) ?? [];
  const paths = entries.length > 1 ? entries.map((entry) => join(path, entry)) : [path];
  const models: ModelDescription[] = [];
  for (const model of paths) models.push(await describeModel(model));
  const verified = verify ? await verifyManifest(path) : undefined;
  return {
    models,
    manifest,
    verification: verified && { ok: verified.problems.length === 0, problems: verified.problems.map(formatError) },
  };
};
