import type { SitePacking } from '../../../analysis/site-weights.ts';
import { packRows } from '../../../kernels/index.ts';
import type { Rounded } from '../methods/method.ts';
import type { Piece } from './pieces.ts';
import { storedBitsOf, type WeightScheme } from './scheme.ts';

type Arrays = Pick<SitePacking, 'codes' | 'scales' | 'zeroPoints'>;

interface Placement {
  readonly rowBegin: number;
  readonly begin: number;
  readonly width: number;
  readonly stride: number;
}

/** Copies a block (rows, width) into columns `begin` … of a matrix with `stride` columns, from row `rowBegin` on. */
const place = <T extends Uint8Array | Uint32Array | Float32Array>(into: T, block: T, at: Placement): void => {
  const { rowBegin, begin, width, stride } = at;
  if (width === stride) {
    into.set(block, rowBegin * stride);
    return;
  }
  // Rows of a block are short: copying them element by element is faster than making a view of each.
  for (let from = 0, to = rowBegin * stride + begin; from < block.length; from += width, to += stride)
    for (let index = 0; index < width; index++) into[to + index] = block[from + index]!;
};

const inWords = (bytes: Uint8Array): Uint32Array =>
  new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** `place` for bytes: four at a time where everything is a multiple of four. */
const placeBytes = (into: Uint8Array, block: Uint8Array, at: Placement): void => {
  const { rowBegin, begin, width, stride } = at;
  const whole = [begin, width, stride, into.byteOffset, block.byteOffset].every((count) => count % 4 === 0);
  if (!whole) place(into, block, at);
  else place(inWords(into), inWords(block), { rowBegin, begin: begin / 4, width: width / 4, stride: stride / 4 });
};

/** Puts rounded pieces together to the packed arrays of a whole matrix. */
export class PackedAssembler {
  readonly #scheme: WeightScheme;
  readonly #rows: number;
  readonly #columns: number;
  readonly #groupSize: number;
  #arrays: Arrays | undefined;

  constructor(
    scheme: WeightScheme,
    size: { readonly rows: number; readonly columns: number; readonly groupSize: number },
  ) {
    this.#scheme = scheme;
    this.#rows = size.rows;
    this.#columns = size.columns;
    this.#groupSize = size.groupSize;
  }

  /** Adds a piece; its columns begin and end with groups (or at the end of the row). */
  add(piece: Piece, rounded: Rounded): void {
    const bits = storedBitsOf(this.#scheme.bits);
    const { rowBegin, rowCount, columnBegin, columnCount } = piece;
    const codes = packRows({ codes: rounded.codes, rows: rowCount, columns: columnCount, bits });
    if (rowCount === this.#rows && columnCount === this.#columns) {
      this.#arrays = { codes, scales: rounded.scales, zeroPoints: rounded.zeroPoints };
      return;
    }
    const groups = Math.ceil(this.#columns / this.#groupSize);
    const rowBytes = Math.ceil((this.#columns * bits) / 8);
    const into = this.#arrays ?? {
      codes: new Uint8Array(this.#rows * rowBytes),
      scales: new Float32Array(this.#rows * groups),
      zeroPoints: rounded.zeroPoints ? new Uint8Array(this.#rows * groups) : null,
    };
    this.#arrays = into;
    const firstByte = (columnBegin * bits) / 8;
    const grid = {
      rowBegin,
      begin: columnBegin / this.#groupSize,
      width: Math.ceil(columnCount / this.#groupSize),
      stride: groups,
    };
    placeBytes(into.codes, codes, { rowBegin, begin: firstByte, width: codes.length / rowCount, stride: rowBytes });
    place(into.scales, rounded.scales, grid);
    if (into.zeroPoints && rounded.zeroPoints) place(into.zeroPoints, rounded.zeroPoints, grid);
  }

  /** The arrays of the whole matrix, once every piece was added. */
  finish(method: string): SitePacking {
    const { bits } = this.#scheme;
    const arrays = this.#arrays ?? { codes: new Uint8Array(), scales: new Float32Array(), zeroPoints: null };
    return { bits, storedBits: storedBitsOf(bits), groupSize: this.#groupSize, method, ...arrays };
  }
}
