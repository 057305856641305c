import type { Site } from '../../analysis/sites.ts';
import { packedBytes } from '../quantize/weights/scheme.ts';
import type { SensitivityOptions, Width } from './options.ts';
import type { Unit } from './units.ts';

/** How a weight may be stored: 'none' leaves it as it is. */
export interface Format {
  readonly bits: Width;
  readonly groupSize: number | 'row';
}

/** Every format that the options allow, by rising width. */
export const formatsOf = ({ bits, groupSizes }: SensitivityOptions): Format[] =>
  bits.flatMap((width): Format[] =>
    width === 'none'
      ? [{ bits: width, groupSize: 'row' }]
      : groupSizes.map((groupSize) => ({ bits: width, groupSize })),
  );

export const sameFormat = (a: Format, b: Format): boolean => a.bits === b.bits && a.groupSize === b.groupSize;

/** 'int4 g32', 'int4 row', 'kept'. */
export const describeFormat = ({ bits, groupSize }: Format): string =>
  bits === 'none' ? 'kept' : `int${bits} ${groupSize === 'row' ? 'row' : `g${groupSize}`}`;

/** Bytes of a unit's constant in a format. */
export const bytesIn = (unit: Unit, { bits, groupSize }: Format, grid: SensitivityOptions['grid']): number => {
  if (bits === 'none') return unit.bytes;
  const [{ rows, columns }] = unit.sites;
  return packedBytes({ bits, groupSize, grid, clip: 'none' }, rows, columns);
};

/** Bits of a weight in a format, scales and zero points not counted. */
export const bitsIn = (unit: Unit, { bits }: Format): number =>
  bits === 'none' ? (8 * unit.bytes) / unit.elements : bits;

/** Columns that share a scale in a site's matrix. */
export const groupColumns = (site: Site, { groupSize }: Format): number =>
  groupSize === 'row' ? site.columns : Math.min(groupSize, site.columns);
