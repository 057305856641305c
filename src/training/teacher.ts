import type { Dataset } from '../calibration/dataset.ts';
import { CompressError, internalError } from '../errors.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { type Binding, bindingOf, bindSample } from '../execution/feeds.ts';
import type { Engine, Session, SessionOptions } from '../execution/session.ts';
import type { Program, Value } from '../ir/graph.ts';
import { countNonFinite } from '../kernels/index.ts';
import { readSample } from './batches.ts';

/** Rows of numbers that a teacher gives for a sample: (rows, width). */
export interface TeacherRows {
  readonly data: Float32Array;
  readonly width: number;
}

export interface TeacherOptions {
  readonly program: Program;
  /** Values to learn from. */
  readonly values: readonly Value[];
  readonly dataset: Dataset;
  readonly engine: Engine;
  /** Bytes of results that may be kept for the next epoch. */
  readonly maxCacheBytes: number;
  readonly session: SessionOptions;
}

/**
 * A model to learn from. It sees one sample at a time, so that what it says of a sample never depends on the batch
 * that the sample is in; results are kept as far as memory allows.
 */
export class Teacher {
  readonly #session: Session;
  readonly #binding: Binding;
  readonly #options: TeacherOptions;
  readonly #known = new Map<number, readonly TeacherRows[]>();
  #cachedBytes = 0;

  private constructor(session: Session, options: TeacherOptions) {
    this.#session = session;
    this.#options = options;
    this.#binding = bindingOf(options.program);
  }

  /** Loads a teacher; close it afterwards. */
  static async open(options: TeacherOptions): Promise<Teacher> {
    const { engine, program, values, session } = options;
    return new Teacher(await engine.open(program, { ...session, fetch: values }), options);
  }

  /** What the teacher gives for a sample, in the order of `values`. @throws 'data', 'numeric' naming the sample. */
  async rowsOf(index: number): Promise<readonly TeacherRows[]> {
    const known = this.#known.get(index);
    if (known) return known;
    const { dataset, values, maxCacheBytes } = this.#options;
    const item = `sample ${index} of ${dataset.description}`;
    const feeds = bindSample(await readSample(dataset, index), this.#binding, item);
    const outputs = await this.#session.run(
      feeds,
      values.map((value) => value.name),
    );
    const rows = values.map((value): TeacherRows => {
      const array = outputs.get(value.name);
      if (!array) throw internalError(`the teacher gave no ${value.name}`);
      const shape = [...array.shape];
      while (shape.length > 2 && shape.at(-1) === 1) shape.pop();
      const data = floatsOfArray(array);
      if (countNonFinite(data) > 0)
        throw new CompressError({
          code: 'numeric',
          message: `${item}: the teacher's ${value.name} holds numbers that are not finite`,
          hint: 'A teacher that gives NaN or infinite numbers cannot be learned from.',
        });
      return { data, width: shape.at(-1) ?? 1 };
    });
    const bytes = rows.reduce((sum, { data }) => sum + data.byteLength, 0);
    if (this.#cachedBytes + bytes <= maxCacheBytes) {
      this.#known.set(index, rows);
      this.#cachedBytes += bytes;
    }
    return rows;
  }

  async close(): Promise<void> {
    this.#known.clear();
    await this.#session.close();
  }
}
