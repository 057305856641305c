import { readSiteMatrix, siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import type { CompressionOption } from '../../../curvature/options.ts';
import { bitsOf } from '../../../ir/data-type.ts';
import { matmul } from '../../../kernels/index.ts';
import type { SiteMoments } from '../site-moments.ts';

/** Writes a site in a form of several factors. Look sites up again afterwards. */
export type WriteForm = (site: Site) => void;

/** A weight in a form that is no plain low rank. */
export type FormOption = CompressionOption<WriteForm>;

export interface FormRequest {
  readonly site: Site;
  readonly moments: SiteMoments;
  readonly positionsPerItem: number;
  /** Ranks are multiples of this. */
  readonly multiple: number;
  readonly signal: AbortSignal;
}

/** A way to write a weight as several smaller ones. */
export interface FactorForm {
  readonly summary: string;
  /** Whether a site has the form at all. */
  fits(site: Site): boolean;
  /** Sizes at which the form has fewer elements than the weight, each with its predicted loss. */
  options(request: FormRequest): Promise<FormOption[]>;
}

/** Predicted loss in nats an item of putting a matrix (rows, columns) in the place of a site's weight. */
export type LossOf = (made: ArrayLike<number>) => Promise<number>;

/** Nats per unit of tr(B ΔW A ΔWᵀ), or without gradients relative to the size of the output. */
export const lossMeter = async ({ site, moments, signal }: FormRequest): Promise<LossOf> => {
  const { rows, columns } = site;
  const weight = Float64Array.from(readSiteMatrix(site));
  const metric = async (delta: Float64Array): Promise<number> => {
    const da = await matmul({ a: delta, rows, inner: columns, b: moments.a, columns, signal });
    const bda = moments.b ? await matmul({ a: moments.b, rows, inner: rows, b: da, columns, signal }) : da;
    return Math.max(
      0,
      delta.reduce((sum, value, index) => sum + value * bda[index]!, 0),
    );
  };
  const unit = moments.scale === 'relative' ? 1 / Math.max(await metric(weight), Number.MIN_VALUE) : moments.scale;
  return async (made) => unit * (await metric(weight.map((value, index) => value - made[index]!)));
};

/** What so many elements cost in a site's element type. */
export const costOf = (site: Site, parameters: number, positionsPerItem: number): FormOption['cost'] => ({
  bytes: (parameters * bitsOf(siteTensor(site).dtype)) / 8,
  parameters,
  operations: parameters * positionsPerItem,
});

/** Whether a site is a convolution whose filters have several places. */
export const isSpatial = (site: Site): boolean =>
  site.op === 'Conv' &&
  siteTensor(site)
    .shape.slice(2)
    .some((length) => length > 1);

/** A spatial convolution as decompositions of it see it. */
export const convolutionInput = ({ site, moments, signal }: FormRequest) => ({
  weight: Float64Array.from(readSiteMatrix(site)),
  rows: site.rows,
  columns: site.columns,
  channels: siteTensor(site).shape[1]!,
  a: moments.a,
  b: moments.b,
  signal,
});
