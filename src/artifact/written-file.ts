/** A file that was written. */
export interface WrittenFile {
  readonly path: string;
  readonly byteLength: number;
}

export interface WriteOptions {
  /** Called as the work goes on, with bytes done, bytes in all, and what was just written. */
  readonly onProgress?: (done: number, total: number, item: string) => void;
  readonly signal?: AbortSignal;
}
