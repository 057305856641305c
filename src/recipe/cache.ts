import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { hashBytes, hashFile } from '../kernels/index.ts';
import type { CheckpointStore } from '../stages/stage.ts';
import { filesBelow, orExplain, removeAbandoned, writeWhole } from './store.ts';

/**
 * What the cache holds. Stages: whole models. Evaluations: measured numbers. Checkpoints: parts of running stages.
 * Statistics: what stages gather about models and data, for each other.
 */
export const cacheKinds = ['stages', 'evaluations', 'checkpoints', 'statistics'] as const;
export type CacheKind = (typeof cacheKinds)[number];

/** A stage's stored result. */
export interface StoredStage {
  /** Folder with the model's snapshot. */
  readonly directory: string;
  readonly facts: unknown;
}

interface EntrySeal {
  readonly facts: unknown;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly blake3: string }[];
}

/** Where the cache is: $COMPRESS_CACHE, or `.compress/cache` beside the recipe. */
export const cacheDirectory = (beside: string): string =>
  process.env.COMPRESS_CACHE ? resolve(process.env.COMPRESS_CACHE) : join(beside, '.compress', 'cache');

/** Content-addressed results on disk. Entries appear whole or not at all; a damaged entry counts as missing. */
export class Cache {
  readonly directory: string;
  #temporary = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** The stored result of a stage, checked byte for byte; undefined when it is missing or damaged. */
  async stage(key: string): Promise<StoredStage | undefined> {
    const directory = join(this.directory, 'stages', key);
    const seal = readSeal(join(directory, sealName));
    if (!seal) return undefined;
    for (const file of seal.files) {
      const path = join(directory, file.name);
      const size = statSync(path, { throwIfNoEntry: false })?.size;
      if (size !== file.bytes || (await hashFile(path)) !== file.blake3) {
        rmSync(directory, { recursive: true, force: true });
        return undefined;
      }
    }
    touch(join(directory, sealName));
    return { directory: join(directory, 'model'), facts: seal.facts };
  }

  /** Stores what `write` puts into the folder it is given, and `facts` (plain JSON) beside it. */
  async storeStage(key: string, facts: unknown, write: (directory: string) => Promise<void>): Promise<void> {
    const partial = this.#temporaryFolder();
    const target = join(this.directory, 'stages', key);
    try {
      mkdirSync(join(partial, 'model'));
      await write(join(partial, 'model'));
      const files: EntrySeal['files'][number][] = [];
      for (const { path, bytes } of filesBelow(partial))
        files.push({ name: relative(partial, path).replaceAll('\\', '/'), bytes, blake3: await hashFile(path) });
      writeWhole(join(partial, sealName), JSON.stringify({ facts, files } satisfies EntrySeal));
      orExplain(target, () => {
        mkdirSync(dirname(target), { recursive: true });
        rmSync(target, { recursive: true, force: true });
        renameSync(partial, target);
      });
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
  }

  /** A stored JSON value, or undefined. */
  evaluation(key: string): unknown {
    const path = join(this.directory, 'evaluations', `${key}.bin`);
    const bytes = readSealed(path);
    if (bytes) touch(path);
    return bytes && JSON.parse(new TextDecoder().decode(bytes));
  }

  storeEvaluation(key: string, value: unknown): void {
    writeSealed(join(this.directory, 'evaluations', `${key}.bin`), new TextEncoder().encode(JSON.stringify(value)));
  }

  /** Parts that a running stage keeps under its key, until `dropCheckpoints`. */
  checkpoints(key: string): CheckpointStore {
    const pathOf = (part: string): string =>
      join(this.directory, 'checkpoints', key, `${hashBytes(new TextEncoder().encode(part)).slice(0, 32)}.bin`);
    return {
      get: (part) => readSealed(pathOf(part)),
      put: (part, bytes) => writeSealed(pathOf(part), bytes),
    };
  }

  dropCheckpoints(key: string): void {
    rmSync(join(this.directory, 'checkpoints', key), { recursive: true, force: true });
  }

  /**
   * Statistics that stages share, apart for each tool. What stands before the first '/' of a key names an entry; the
   * entries used longest ago are removed here while all together take more than `maxBytes`.
   */
  statistics(tool: string, maxBytes: number = mostStatisticsBytes): CheckpointStore {
    this.prune({ maxBytes, kinds: ['statistics'] });
    const pathOf = (key: string): string => {
      const [entry = '', ...part] = key.split('/');
      const short = (text: string): string => hashBytes(new TextEncoder().encode(text)).slice(0, 32);
      return join(this.directory, 'statistics', short(`${tool}/${entry}`), `${short(part.join('/'))}.bin`);
    };
    return {
      get: (key) => {
        const bytes = readSealed(pathOf(key));
        if (bytes) touch(pathOf(key));
        return bytes;
      },
      put: (key, bytes) => writeSealed(pathOf(key), bytes),
    };
  }

  /** Runs `work` with a folder for its own files, removed afterwards however it ends. */
  async withScratch<Result>(work: (directory: string) => Promise<Result>): Promise<Result> {
    const directory = this.#temporaryFolder();
    try {
      return await work(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  /** Entries and bytes of each kind. */
  describe(): Record<CacheKind, { readonly entries: number; readonly bytes: number }> {
    const facts = (kind: CacheKind): { entries: number; bytes: number } => {
      const entries = this.#entries(kind);
      return { entries: entries.length, bytes: entries.reduce((sum, entry) => sum + entry.bytes, 0) };
    };
    return {
      stages: facts('stages'),
      evaluations: facts('evaluations'),
      checkpoints: facts('checkpoints'),
      statistics: facts('statistics'),
    };
  }

  /** Removes everything; returns the bytes freed. */
  clear(): number {
    return this.prune({ maxBytes: 0 });
  }

  /** Removes the entries (of some kinds) used longest ago until at most `maxBytes` are left; returns the bytes freed. */
  prune({
    maxBytes,
    kinds = cacheKinds,
  }: {
    readonly maxBytes: number;
    readonly kinds?: readonly CacheKind[];
  }): number {
    const entries = kinds.flatMap((kind) => this.#entries(kind)).sort((a, b) => a.usedMs - b.usedMs);
    let left = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    let freed = 0;
    for (const entry of entries) {
      if (left <= maxBytes && maxBytes > 0) break;
      rmSync(entry.path, { recursive: true, force: true });
      left -= entry.bytes;
      freed += entry.bytes;
    }
    return freed;
  }

  #entries(kind: CacheKind): { path: string; bytes: number; usedMs: number }[] {
    const root = join(this.directory, kind);
    const entries = new Map<string, { path: string; bytes: number; usedMs: number }>();
    for (const file of filesBelow(root)) {
      const path = join(root, relative(root, file.path).split(/[\\/]/)[0] ?? '');
      const entry = entries.get(path) ?? { path, bytes: 0, usedMs: 0 };
      entry.bytes += file.bytes;
      entry.usedMs = Math.max(entry.usedMs, file.usedMs);
      entries.set(path, entry);
    }
    return [...entries.values()];
  }

  #temporaryFolder(): string {
    const root = join(this.directory, 'tmp');
    return orExplain(root, () => {
      mkdirSync(root, { recursive: true });
      removeAbandoned(root);
      let path: string;
      do path = join(root, `${process.pid}-${this.#temporary++}`);
      while (existsSync(path));
      mkdirSync(path);
      return path;
    });
  }
}

/** Statistics beyond this are dropped, those used longest ago first. */
const mostStatisticsBytes = 8 * 2 ** 30;

const sealName = 'entry.json';

const readSeal = (path: string): EntrySeal | undefined =>
  existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as EntrySeal) : undefined;

/** Marks an entry as used now, which `prune` goes by. */
const touch = (path: string): void => {
  const now = new Date();
  utimesSync(path, now, now);
};

const digestBytes = 32;

const writeSealed = (path: string, bytes: Uint8Array): void => {
  const sealed = new Uint8Array(digestBytes + bytes.byteLength);
  sealed.set(Buffer.from(hashBytes(bytes), 'hex'));
  sealed.set(bytes, digestBytes);
  writeWhole(path, sealed);
};

/** The bytes of a file that starts with their own BLAKE3, or undefined when it is missing or damaged. */
const readSealed = (path: string): Uint8Array | undefined => {
  if (!existsSync(path)) return undefined;
  const sealed = readFileSync(path);
  const bytes = new Uint8Array(sealed.subarray(digestBytes));
  return Buffer.from(sealed.subarray(0, digestBytes)).toString('hex') === hashBytes(bytes) ? bytes : undefined;
};
