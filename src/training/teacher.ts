import type { Dataset } from '../calibration/dataset.ts';
import { CompressError, internalError } from '../errors.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { type Binding, bindingOf, bindSample } from '../execution/feeds.ts';
import type { Engine, Session, SessionOptions } from '../execution/session.ts';
import type { Program, Value } from '../ir/graph.ts';
import { countNonFinite } from '../kernels/index.ts';
import { type PlainSample, readSample } from './batches.ts';

/** What a teacher gives for a sample: rows of numbers (rows, width). */
export interface TeacherRows {
  readonly data: Float32Array;
  readonly width: number;
  /** Shape of the array that the rows were made of. */
  readonly shape: readonly number[];
  /**
   * For scores of which only the greatest were kept: their classes (rows, width - 1), greatest first. `data` then holds
   * logarithms of chances, the last one of all other classes together.
   */
  readonly classes?: Int32Array;
}

/** Something to learn from. */
export interface Teacher {
  /** What it gives for a sample of the dataset. @throws 'data', 'numeric' naming the sample. */
  rowsOf(index: number): Promise<readonly TeacherRows[]>;
  /** What it gives for a sample that is not of the dataset. @throws 'usage' for teachers that only know the dataset. */
  rowsFor(sample: PlainSample, item: string): Promise<readonly TeacherRows[]>;
  close(): Promise<void>;
}

export interface ModelTeacherOptions {
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
export class ModelTeacher implements Teacher {
  readonly #session: Session;
  readonly #binding: Binding;
  readonly #options: ModelTeacherOptions;
  readonly #known = new Map<number, readonly TeacherRows[]>();
  #cachedBytes = 0;

  private constructor(session: Session, options: ModelTeacherOptions) {
    this.#session = session;
    this.#options = options;
    this.#binding = bindingOf(options.program);
  }

  /** Loads a teacher; close it afterwards. */
  static async open(options: ModelTeacherOptions): Promise<ModelTeacher> {
    const { engine, program, values, session } = options;
    return new ModelTeacher(await engine.open(program, { ...session, fetch: values }), options);
  }

  async rowsOf(index: number): Promise<readonly TeacherRows[]> {
    const known = this.#known.get(index);
    if (known) return known;
    const { dataset, maxCacheBytes } = this.#options;
    const rows = await this.rowsFor(await readSample(dataset, index), `sample ${index} of ${dataset.description}`);
    const bytes = rows.reduce((sum, { data }) => sum + data.byteLength, 0);
    if (this.#cachedBytes + bytes <= maxCacheBytes) {
      this.#known.set(index, rows);
      this.#cachedBytes += bytes;
    }
    return rows;
  }

  async rowsFor(sample: PlainSample, item: string): Promise<readonly TeacherRows[]> {
    const { values } = this.#options;
    const outputs = await this.#session.run(
      bindSample(sample, this.#binding, item),
      values.map((value) => value.name),
    );
    return values.map((value): TeacherRows => {
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
      return { data, width: shape.at(-1) ?? 1, shape };
    });
  }

  async close(): Promise<void> {
    this.#known.clear();
    await this.#session.close();
  }
}
