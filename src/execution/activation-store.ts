import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { NumericArray } from '../calibration/dataset.ts';
import { CompressError, internalError } from '../errors.ts';
import type { DataType } from '../ir/data-type.ts';
import { arrayFromBytes, bytesOfArray } from './arrays.ts';

/** An array that lies in a file of the store. */
interface Spilled {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The arrays of one value: one for each run of the model, in memory or in the value's own file. */
interface Column {
  readonly held: Map<number, NumericArray>;
  readonly spilled: Map<number, Spilled>;
  path?: string;
  file?: number;
  fileLength: number;
}

/**
 * Activations of all samples, by value name and run number: in memory up to a budget, beyond it in files of a scratch
 * folder. Freeing an array makes room for others; a file goes when its last array is freed. Closing removes everything.
 */
export class ActivationStore {
  readonly #directory: string;
  readonly #maxMemoryBytes: number;
  readonly #columns = new Map<string, Column>();
  #memoryBytes = 0;
  #fileCount = 0;

  /** @param directory an existing folder; files in it are made only when the budget is exceeded. */
  constructor(directory: string, maxMemoryBytes: number) {
    this.#directory = directory;
    this.#maxMemoryBytes = maxMemoryBytes;
  }

  /** Bytes of arrays that are in memory now. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Files made so far. */
  get fileCount(): number {
    return this.#fileCount;
  }

  /** Keeps an array; it must not be changed afterwards. @throws CompressError 'resource' when the disk refuses. */
  put(name: string, run: number, array: NumericArray): void {
    const column = this.#columns.get(name) ?? { held: new Map(), spilled: new Map(), fileLength: 0 };
    this.#columns.set(name, column);
    this.#drop(column, run);
    const { byteLength } = array.data;
    if (this.#memoryBytes + byteLength <= this.#maxMemoryBytes) {
      column.held.set(run, array);
      this.#memoryBytes += byteLength;
    } else this.#spill(column, run, array);
  }

  /** @throws internal error when nothing was kept under this name and run, or it was freed. */
  get(name: string, run: number): NumericArray {
    const column = this.#columns.get(name);
    const held = column?.held.get(run);
    if (held) return held;
    const spilled = column?.spilled.get(run);
    if (!column?.file || !spilled) throw internalError(`no activation ${name} of run ${run} is kept`);
    const bytes = new Uint8Array(spilled.byteLength);
    let done = 0;
    while (done < bytes.length) {
      const got = readSync(column.file, bytes, done, bytes.length - done, spilled.byteOffset + done);
      if (got === 0) throw internalError(`the spilled activation ${name} of run ${run} is cut short`);
      done += got;
    }
    return arrayFromBytes(spilled.dtype, spilled.shape, bytes);
  }

  /** Forgets an array. */
  free(name: string, run: number): void {
    const column = this.#columns.get(name);
    if (!column) return;
    this.#drop(column, run);
    if (column.held.size + column.spilled.size > 0) return;
    this.#remove(column);
    this.#columns.delete(name);
  }

  /** Forgets everything and removes all files. */
  close(): void {
    for (const column of this.#columns.values()) this.#remove(column);
    this.#columns.clear();
    this.#memoryBytes = 0;
  }

  #drop(column: Column, run: number): void {
    this.#memoryBytes -= column.held.get(run)?.data.byteLength ?? 0;
    column.held.delete(run);
    column.spilled.delete(run);
  }

  #remove(column: Column): void {
    if (column.file !== undefined) closeSync(column.file);
    if (column.path !== undefined) rmSync(column.path, { force: true });
  }

  #spill(column: Column, run: number, array: NumericArray): void {
    try {
      column.path ??= join(this.#directory, `activations-${this.#fileCount++}.bin`);
      column.file ??= openSync(column.path, 'w+');
      const bytes = bytesOfArray(array);
      let done = 0;
      while (done < bytes.length)
        done += writeSync(column.file, bytes, done, bytes.length - done, column.fileLength + done);
      const { dtype, shape } = array;
      column.spilled.set(run, { dtype, shape, byteOffset: column.fileLength, byteLength: bytes.length });
      column.fileLength += bytes.length;
    } catch (cause) {
      throw new CompressError({
        code: 'resource',
        message: `activations cannot be written to disk: ${cause instanceof Error ? cause.message : String(cause)}`,
        where: { file: this.#directory },
        hint: 'Free disk space, allow more memory (--max-memory), or use fewer samples.',
        cause,
      });
    }
  }
}
