import { floatToBytes } from '../kernels/index.ts';
import { byteLengthOf, type DataType } from './data-type.ts';
import { arrayOfMatrix, type MatrixLayout } from './matrix-layout.ts';
import { elementCount } from './shape.ts';
import type { Tensor } from './tensor.ts';

/**
 * Codes that number the entries of a table, seen as a matrix (rows = outputs, columns = inputs):
 * `weight[r][c] = table[code[r][c]] * scale[floor((r * columns + c) / blockSize)]`, with one table for all rows or one
 * for each.
 */
export interface CodebookFacts {
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
  readonly shape: readonly number[];
  /** How the matrix lies in `shape`. */
  readonly layout: MatrixLayout;
  readonly rows: number;
  readonly columns: number;
  /** (entries), or (rows, entries) where each row has its own. */
  readonly table: Float32Array;
  readonly entries: number;
  /** What the table is called by operators that have it built in; undefined for any other one. */
  readonly name: 'nf4' | undefined;
  /** (rows, columns), one a byte. */
  readonly codes: Uint8Array;
  /** Neighbouring elements, row by row, that share a scale; 0 where there are no scales. */
  readonly blockSize: number;
  readonly scales: Float32Array;
}

/** A weight rounded to the entries of a table. Formats without such a form write the numbers that it stands for. */
export class CodebookTensor implements Tensor {
  readonly kind = 'derived';
  readonly facts: CodebookFacts;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteLength: number;

  constructor(facts: CodebookFacts) {
    this.facts = facts;
    this.dtype = facts.dtype;
    this.shape = facts.shape;
    this.byteLength = byteLengthOf(facts.dtype, elementCount(facts.shape));
  }

  /** The numbers, as a matrix (rows, columns). */
  matrix(): Float32Array {
    const { codes, table, entries, columns, scales, blockSize } = this.facts;
    const perRow = table.length > entries;
    return Float32Array.from(codes, (code, index) => {
      const entry = table[perRow ? Math.floor(index / columns) * entries + code : code]!;
      return blockSize === 0 ? entry : Math.fround(entry * scales[Math.floor(index / blockSize)]!);
    });
  }

  bytes(): Uint8Array {
    const { dtype, shape, layout } = this.facts;
    return floatToBytes(arrayOfMatrix(this.matrix(), shape, layout), dtype);
  }
}
