import { readSiteMatrix, siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { gradientsOfRows } from '../../../curvature/predict.ts';
import { byteLengthOf } from '../../../ir/data-type.ts';
import { FileTensor } from '../../../ir/tensor.ts';
import { bytesToFloat, isDecodableFloat, transposeF32 } from '../../../kernels/index.ts';
import type { SiteGradients } from './output-moments.ts';

/** A part of a site's matrix that can be rounded by itself. */
export interface Piece {
  readonly rowBegin: number;
  readonly rowCount: number;
  readonly columnBegin: number;
  readonly columnCount: number;
  /** H of these columns, where it is known. */
  readonly gram: Float64Array | undefined;
  /** G of these columns, or T, where they are known and asked for (see RoundingProblem). */
  readonly cross?: Float64Array | undefined;
  readonly target?: Float64Array | undefined;
  /** B of these rows, where it is known and asked for. */
  readonly outputs?: SiteGradients | undefined;
  /** The part (rowCount, columnCount). Not to be changed. */
  read(): Float32Array;
}

/** Weights that a piece holds, about: enough for all threads, little beside a large matrix. */
const usualSize = 1 << 20;

/** Elements `begin` to `begin + count` of a floating-point tensor in a file, read into `buffer`. */
const readRange = (tensor: FileTensor, begin: number, count: number, buffer: Uint8Array<ArrayBuffer>): Float32Array => {
  const { dtype } = tensor;
  const bytes = buffer.subarray(0, byteLengthOf(dtype, count));
  tensor.readInto(bytes, byteLengthOf(dtype, begin));
  if (dtype === 'float32') return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  return bytesToFloat(bytes, dtype as 'float16');
};

const wholeMatrix = (site: Site): Piece => ({
  rowBegin: 0,
  rowCount: site.rows,
  columnBegin: 0,
  columnCount: site.columns,
  gram: undefined,
  read: () => readSiteMatrix(site),
});

/** Whole rows of a tensor in which rows follow each other. */
const rowPieces = (site: Site, tensor: FileTensor): Piece[] => {
  const { rows, columns } = site;
  const step = Math.max(1, Math.floor(usualSize / columns));
  return Array.from({ length: Math.ceil(rows / step) }, (_, index) => {
    const rowBegin = index * step;
    const rowCount = Math.min(step, rows - rowBegin);
    const read = (): Float32Array => {
      const count = rowCount * columns;
      return readRange(tensor, rowBegin * columns, count, new Uint8Array(byteLengthOf(tensor.dtype, count)));
    };
    return { rowBegin, rowCount, columnBegin: 0, columnCount: columns, gram: undefined, read };
  });
};

/** Whole groups of columns, over all rows, of a tensor in which columns follow each other. */
const columnPieces = (site: Site, tensor: FileTensor, groupSize: number): Piece[] => {
  const { rows, columns } = site;
  const step = Math.min(columns, groupSize * Math.max(1, Math.floor(usualSize / (rows * groupSize))));
  // One buffer for all pieces: what is read into it is transposed at once.
  let buffer: Uint8Array<ArrayBuffer> | undefined;
  return Array.from({ length: Math.ceil(columns / step) }, (_, index) => {
    const columnBegin = index * step;
    const columnCount = Math.min(step, columns - columnBegin);
    const read = (): Float32Array => {
      buffer ??= new Uint8Array(byteLengthOf(tensor.dtype, step * rows));
      return transposeF32(readRange(tensor, columnBegin * rows, columnCount * rows, buffer), columnCount, rows);
    };
    return { rowBegin: 0, rowCount: rows, columnBegin, columnCount, gram: undefined, read };
  });
};

/**
 * A matrix in pieces of whole groups, each read from its file by itself, so that matrices of any size take little
 * memory. Tensors that are not plain ranges of a file are one piece.
 */
export const streamedPieces = (site: Site, groupSize: number): Piece[] => {
  const tensor = siteTensor(site);
  if (!(tensor instanceof FileTensor) || !isDecodableFloat(tensor.dtype)) return [wholeMatrix(site)];
  if (site.layout === 'rows-first') return rowPieces(site, tensor);
  return site.layout === 'rows-last' ? columnPieces(site, tensor, groupSize) : [wholeMatrix(site)];
};

/** What is known of a site's inputs and outputs: H and G or T of each convolution group, B of all rows. */
export interface SiteMoments {
  readonly grams: readonly Float64Array[];
  readonly crosses: readonly Float64Array[];
  readonly targets: readonly Float64Array[];
  readonly outputs: SiteGradients | undefined;
}

/** The rows of each convolution group (all rows of anything else) with the moments of that group. */
export const groupPieces = (site: Site, { grams, crosses, targets, outputs }: SiteMoments): Piece[] => {
  const { rows, columns } = site;
  const rowCount = rows / grams.length;
  const matrix = readSiteMatrix(site);
  return grams.map((gram, group) => ({
    rowBegin: group * rowCount,
    rowCount,
    columnBegin: 0,
    columnCount: columns,
    gram,
    cross: crosses[group],
    target: targets[group],
    outputs: outputs && { ...outputs, ...gradientsOfRows(outputs, rows, group * rowCount, rowCount) },
    read: () => matrix.subarray(group * rowCount * columns, (group + 1) * rowCount * columns),
  }));
};
