import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { CompressError } from '../../../errors.ts';
import type { Piece } from './pieces.ts';

/** Position in an array of this shape of its `flat`-th element. */
const unravel = (flat: number, shape: readonly number[]): number[] => {
  const index: number[] = [];
  let rest = flat;
  for (const dim of shape.toReversed()) {
    index.unshift(rest % dim);
    rest = Math.floor(rest / dim);
  }
  return index;
};

/** Position of a matrix element in the site's tensor, as an index per axis. */
const elementOf = (site: Site, row: number, column: number): number[] => {
  const { shape } = siteTensor(site);
  if (site.layout === 'rows-last') return [column, row];
  if (site.layout === 'rows-first') return unravel(row * site.columns + column, shape);
  const [first = 0, ...kernel] = unravel(column, [shape[0] ?? 1, ...shape.slice(2)]);
  return [first, row, ...kernel];
};

/** Adds to what a kernel says about numbers the tensor, and the element where a weight is not finite. */
export const locateNumeric = (error: unknown, site: Site, piece: Piece, weight: Float32Array): unknown => {
  if (!(error instanceof CompressError) || error.code !== 'numeric') return error;
  const where = { site: site.name, tensor: site.weight.name };
  const index = weight.findIndex((value) => !Number.isFinite(value));
  if (index < 0) {
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return new CompressError({ code: 'numeric', message: error.message, where, ...hint, cause: error });
  }
  const row = piece.rowBegin + Math.floor(index / piece.columnCount);
  const column = piece.columnBegin + (index % piece.columnCount);
  return new CompressError({
    code: 'numeric',
    message: `element [${elementOf(site, row, column).join(', ')}] is ${weight[index]}`,
    where,
    hint: 'The model file holds broken numbers: train or convert it again, or name the site in "ignore".',
    cause: error,
  });
};
