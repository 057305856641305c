import { statSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { CompanionFile, Model } from '../ir/model.ts';
import { hashFile } from '../kernels/index.ts';
import type { FormatCard, FormatContext } from './formats/format.ts';
import type { WeightFacts } from './formats/weight-facts.ts';
import { readJsonObject } from './json-file.ts';
import { manifestBytes, manifestName } from './manifest.ts';
import type { Manifest } from './manifest-schema.ts';
import { checkOutputFolder } from './output-folder.ts';
import { StagedFile, writeError } from './staged-file.ts';
import { StagedFolder } from './staged-folder.ts';
import type { WriteOptions } from './written-file.ts';

/** One format as it lies in the staging folder. */
export interface WrittenFormat {
  readonly name: string;
  /** Folder of its files, absolute; it moves with `commit`. */
  readonly directory: string;
  /** The file to open, absolute; undefined when the format cannot be run. */
  readonly entry: string | undefined;
  /** Bytes of the format's own files, without companions. */
  readonly byteLength: number;
  readonly weights: readonly WeightFacts[];
  readonly findings: Manifest['findings'];
}

/** What the manifest says beside the files themselves. */
export type ArtifactFacts = Pick<Manifest, 'inputs' | 'metrics' | 'findings'> & {
  readonly version: string;
  readonly family: string | undefined;
  readonly recipe: string | undefined;
};

/** The text of a model's config.json where stages have changed it; undefined where the companion is to be copied. */
const changedConfig = (model: Model, companion: CompanionFile): string | undefined => {
  if (companion.name !== 'config.json' || !model.config) return undefined;
  if (isDeepStrictEqual(readJsonObject(companion.path), model.config)) return undefined;
  return `${JSON.stringify(model.config, null, 2)}\n`;
};

/** BLAKE3 of files, for the `inputs` of a manifest. Names are relative to the folder that holds them all. */
export const hashInputs = async (paths: readonly string[], signal?: AbortSignal): Promise<Manifest['inputs']> => {
  const folder = paths.map((path) => dirname(path)).reduce((a, b) => commonFolder(a, b), dirname(paths[0] ?? '.'));
  const hashed: Manifest['inputs'] = [];
  for (const path of paths)
    hashed.push({
      name: relative(folder, path).replaceAll('\\', '/') || basename(path),
      bytes: statSync(path).size,
      blake3: await hashFile(path, signal ? { signal } : {}),
    });
  return hashed;
};

const commonFolder = (a: string, b: string): string => {
  let folder = a;
  while (relative(folder, b).startsWith('..') && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
};

/**
 * An output in the making. Everything goes to a staging folder beside the output; formats can be measured there; then
 * `commit` adds the manifest and puts the folder in place. Whoever makes one must `commit` or `discard` it.
 */
export class ArtifactWriter {
  readonly #folder: StagedFolder;
  readonly #severalFormats: boolean;
  readonly #formats: Manifest['formats'] = [];

  private constructor(folder: StagedFolder, severalFormats: boolean) {
    this.#folder = folder;
    this.#severalFormats = severalFormats;
  }

  /**
   * @param output.inputs files that are read while the output is made.
   * @param output.formatCount one format goes straight into the folder, several into a folder each.
   * @throws unsafe when the output would replace an input or files that are no output; resource errors.
   */
  static async create(
    path: string,
    output: { readonly inputs: readonly string[]; readonly formatCount: number },
  ): Promise<ArtifactWriter> {
    checkOutputFolder(path, output.inputs);
    return new ArtifactWriter(await StagedFolder.create(path), output.formatCount > 1);
  }

  /** The staging folder. */
  get directory(): string {
    return this.#folder.directory;
  }

  /** Writes one format, and the companions that it has not written itself. */
  async writeFormat<Options>(
    card: FormatCard<Options>,
    options: Options,
    model: Model,
    context: FormatContext = {},
  ): Promise<WrittenFormat> {
    const inside = this.#severalFormats ? this.#freshName(card.name) : '.';
    const directory = join(this.directory, inside);
    await this.#try(directory, () => mkdir(directory, { recursive: true }));
    const { files, entry, weights, findings } = await card.write(model, directory, options, context);
    for (const companion of model.companions) {
      context.signal?.throwIfAborted();
      const path = join(directory, companion.name);
      if (statSync(path, { throwIfNoEntry: false })) continue;
      await this.#try(path, async () => {
        await mkdir(dirname(path), { recursive: true });
        const config = changedConfig(model, companion);
        if (config === undefined) await copyFile(companion.path, path);
        else await writeFile(path, config);
      });
    }
    this.#formats.push({
      name: card.name,
      directory: inside,
      ...(entry === undefined ? {} : { entry: inside === '.' ? entry : `${inside}/${entry}` }),
      options,
      weights: weights.map((weight) => ({ ...weight, shape: [...weight.shape] })),
    });
    return {
      name: card.name,
      directory,
      entry: entry === undefined ? undefined : join(directory, entry),
      byteLength: files.reduce((sum, file) => sum + file.byteLength, 0),
      weights,
      findings: findings.map((finding) => ({ ...finding })) as Manifest['findings'],
    };
  }

  /** Adds a file, such as a report. `name` may hold folders. */
  async addFile(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.directory, name);
    await this.#try(path, () => mkdir(dirname(path), { recursive: true }));
    const file = await StagedFile.create(path);
    try {
      await file.write(bytes);
      await file.commit();
    } catch (error) {
      await file.discard();
      throw error;
    }
  }

  /** Writes the manifest over all files and puts the folder in place of what was there. */
  async commit(facts: ArtifactFacts, signal?: AbortSignal): Promise<Manifest> {
    const files: Manifest['files'] = [];
    for (const path of await this.#folder.files()) {
      const absolute = join(this.directory, path);
      files.push({ path, bytes: statSync(absolute).size, blake3: await hashFile(absolute, signal ? { signal } : {}) });
    }
    const manifest: Manifest = {
      schemaVersion: 1,
      tool: { name: 'modelpress', version: facts.version },
      ...(facts.family === undefined ? {} : { family: facts.family }),
      ...(facts.recipe === undefined ? {} : { recipe: facts.recipe }),
      inputs: facts.inputs,
      files,
      formats: this.#formats,
      metrics: facts.metrics,
      findings: facts.findings,
    };
    await this.addFile(manifestName, manifestBytes(manifest));
    await this.#folder.commit();
    return manifest;
  }

  /** Leaves nothing behind. Does nothing after `commit`. */
  async discard(): Promise<void> {
    await this.#folder.discard();
  }

  #freshName(name: string): string {
    const taken = new Set(this.#formats.map((format) => format.directory));
    let fresh = name;
    for (let number = 2; taken.has(fresh); number++) fresh = `${name}-${number}`;
    return fresh;
  }

  async #try<Result>(path: string, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (cause) {
      throw writeError(cause, path);
    }
  }
}

/** Writes a model in several formats into one output folder, manifest included. */
export const writeArtifact = async (request: {
  readonly output: string;
  readonly inputs: readonly string[];
  readonly model: Model;
  readonly formats: readonly { readonly card: FormatCard; readonly options: unknown }[];
  readonly facts: ArtifactFacts;
  readonly context?: WriteOptions;
}): Promise<Manifest> => {
  const writer = await ArtifactWriter.create(request.output, {
    inputs: request.inputs,
    formatCount: request.formats.length,
  });
  try {
    for (const { card, options } of request.formats)
      await writer.writeFormat(card, options, request.model, request.context);
    return await writer.commit(request.facts, request.context?.signal);
  } catch (error) {
    await writer.discard();
    throw error;
  }
};
