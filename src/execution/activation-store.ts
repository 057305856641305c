import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { NumericArray } from '../calibration/dataset.ts';
import { CompressError, internalError } from '../errors.ts';
import type { DataType } from '../ir/data-type.ts';
import { arrayFromBytes, bytesOfArray } from './arrays.ts';

/** An array that lies in the file of the store. */
interface Spilled {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The arrays of one value: one for each run of the model, in memory or in the file. */
interface Column {
  readonly held: Map<number, NumericArray>;
  readonly spilled: Map<number, Spilled>;
}

/** Bytes of the place that an array is given in the file: places that are let go serve arrays of about their size. */
const placeBytes = (byteLength: number): number => {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, byteLength))) - 3);
  return Math.ceil(byteLength / step) * step;
};

/**
 * Activations of all samples, by value name and run number: in memory up to a budget, beyond it in a file of a scratch
 * folder. Freeing an array makes room for others, in memory and in the file. Closing removes everything.
 */
export class ActivationStore {
  readonly #directory: string;
  readonly #maxMemoryBytes: number;
  readonly #columns = new Map<string, Column>();
  #memoryBytes = 0;
  readonly #path: string;
  #file: number | undefined;
  #fileBytes = 0;
  /** Where places of each size have been let go. */
  readonly #places = new Map<number, number[]>();

  /** @param directory an existing folder; a file is made in it only when the budget is exceeded. */
  constructor(directory: string, maxMemoryBytes: number) {
    this.#directory = directory;
    this.#maxMemoryBytes = maxMemoryBytes;
    this.#path = join(directory, 'activations.bin');
  }

  /** Bytes of arrays that are in memory now. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Bytes of the file; 0 as long as memory suffices. */
  get fileBytes(): number {
    return this.#fileBytes;
  }

  /** Keeps an array; it must not be changed afterwards. @throws CompressError 'resource' when the disk refuses. */
  put(name: string, run: number, array: NumericArray): void {
    const column = this.#columns.get(name) ?? { held: new Map(), spilled: new Map() };
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
    if (this.#file === undefined || !spilled) throw internalError(`no activation ${name} of run ${run} is kept`);
    const bytes = new Uint8Array(spilled.byteLength);
    let done = 0;
    while (done < bytes.length) {
      const got = readSync(this.#file, bytes, done, bytes.length - done, spilled.byteOffset + done);
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
    if (column.held.size + column.spilled.size === 0) this.#columns.delete(name);
  }

  /** Forgets everything and removes all files. */
  close(): void {
    this.#columns.clear();
    this.#places.clear();
    [this.#memoryBytes, this.#fileBytes] = [0, 0];
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
    rmSync(this.#path, { force: true });
  }

  #drop(column: Column, run: number): void {
    this.#memoryBytes -= column.held.get(run)?.data.byteLength ?? 0;
    column.held.delete(run);
    const spilled = column.spilled.get(run);
    if (!spilled) return;
    const size = placeBytes(spilled.byteLength);
    const places = this.#places.get(size) ?? [];
    this.#places.set(size, places);
    places.push(spilled.byteOffset);
    column.spilled.delete(run);
  }

  /** A place in the file for so many bytes. */
  #place(byteLength: number): number {
    const size = placeBytes(byteLength);
    const known = this.#places.get(size)?.pop();
    if (known !== undefined) return known;
    const end = this.#fileBytes;
    this.#fileBytes += size;
    return end;
  }

  #spill(column: Column, run: number, array: NumericArray): void {
    try {
      this.#file ??= openSync(this.#path, 'w+');
      const bytes = bytesOfArray(array);
      const byteOffset = this.#place(bytes.length);
      let done = 0;
      while (done < bytes.length) done += writeSync(this.#file, bytes, done, bytes.length - done, byteOffset + done);
      const { dtype, shape } = array;
      column.spilled.set(run, { dtype, shape, byteOffset, byteLength: bytes.length });
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
