import { siteTensor } from '../site-weights.ts';
import type { Site } from '../sites.ts';

/** An axis of a site's weight, and how many neighbouring lines of the matrix an element of it stands for. */
interface SiteAxis {
  readonly axis: number;
  readonly lines: number;
}

/** Where rows and columns of a site's matrix lie in its weight, as far as channels go along one axis. */
interface SiteAxes {
  readonly rows: SiteAxis | undefined;
  readonly columns: SiteAxis | undefined;
}

/**
 * Rows are what a site computes, columns what it reads. An embedding computes its columns; the filters of a convolution
 * read a kernel of columns a channel, those of a grouped one only their own group's.
 */
export const siteAxes = (site: Site): SiteAxes => {
  const shape = siteTensor(site).shape;
  switch (site.op) {
    case 'Gather':
      return { rows: { axis: 1, lines: 1 }, columns: undefined };
    case 'Conv':
    case 'ConvTranspose': {
      const kernel = shape.slice(2).reduce((size, length) => size * length, 1);
      const transposed = site.op === 'ConvTranspose';
      const grouped = site.groups > 1;
      return {
        rows: { axis: transposed ? 1 : 0, lines: 1 },
        columns: grouped ? undefined : { axis: transposed ? 0 : 1, lines: kernel },
      };
    }
    case 'LSTM':
    case 'GRU':
      return { rows: { axis: 1, lines: 1 }, columns: { axis: 2, lines: 1 } };
    default:
      return site.layout === 'rows-last'
        ? { rows: { axis: 1, lines: 1 }, columns: { axis: 0, lines: 1 } }
        : { rows: { axis: 0, lines: 1 }, columns: { axis: 1, lines: 1 } };
  }
};
