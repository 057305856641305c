import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { CompressError } from '../errors.ts';

const reasons: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  ENOSPC: ['the disk is full', 'Free some space or write to another disk.'],
  EDQUOT: ['the disk quota is used up', 'Free some space or write to another disk.'],
  EFBIG: ['the file would be larger than this file system allows', 'Write to another file system.'],
  EACCES: ['no permission to write here', 'Check the permissions of the folder.'],
  EPERM: ['no permission to write here', 'Check the permissions of the folder.'],
  EROFS: ['the file system is read-only', 'Write to another folder.'],
  ENOENT: ['the folder does not exist', 'Make the folder first.'],
  ENOTDIR: ['a part of the path is a file, not a folder', 'Choose another path.'],
  EISDIR: ['the path is a folder', 'Choose another path.'],
  EIO: ['the disk reports an error', 'Check the disk.'],
};

/** The error for a failed write: what the system said in words; anything unknown is passed on as it is. */
export const writeError = (cause: unknown, path: string): unknown => {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  const reason = reasons[code];
  if (!reason) return cause;
  return new CompressError({
    code: 'resource',
    message: `cannot write: ${reason[0]}`,
    where: { file: path },
    hint: reason[1],
    cause,
  });
};

/** Bytes handed to the system at once. */
const chunkBytes = 8 * 1024 * 1024;

/**
 * A file that appears under its name only when it is complete: written beside it, flushed to disk and renamed.
 * Whoever opens one must `commit` or `discard` it.
 */
export class StagedFile {
  readonly path: string;
  /** Bytes written so far. */
  byteLength = 0;
  readonly #partial: string;
  readonly #handle: FileHandle;

  private constructor(path: string, partial: string, handle: FileHandle) {
    this.path = path;
    this.#partial = partial;
    this.#handle = handle;
  }

  /** @throws resource errors when the folder cannot be written to. */
  static async create(path: string): Promise<StagedFile> {
    const partial = `${path}.partial-${process.pid}`;
    try {
      return new StagedFile(path, partial, await open(partial, 'w'));
    } catch (cause) {
      throw writeError(cause, path);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let begin = 0; begin < bytes.byteLength; begin += chunkBytes) {
        const chunk = bytes.subarray(begin, begin + chunkBytes);
        for (let done = 0; done < chunk.byteLength; )
          done += (await this.#handle.write(chunk, done, chunk.byteLength - done)).bytesWritten;
      }
    } catch (cause) {
      throw writeError(cause, this.path);
    }
    this.byteLength += bytes.byteLength;
  }

  /** Zeros up to the next multiple of `alignment`. */
  async align(alignment: number): Promise<void> {
    const rest = this.byteLength % alignment;
    if (rest > 0) await this.write(new Uint8Array(alignment - rest));
  }

  async commit(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#partial, this.path);
    } catch (cause) {
      throw writeError(cause, this.path);
    }
  }

  /** Leaves nothing behind. Does nothing after `commit`. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    await rm(this.#partial, { force: true });
  }
}
