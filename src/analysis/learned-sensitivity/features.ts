import { cloneProgram } from '../../ir/clone.ts';
import { foldBatchNormalization } from '../../ir/edit/fold-batch-normalization.ts';
import type { Program } from '../../ir/graph.ts';
import { svd } from '../../kernels/index.ts';
import { readSiteMatrix } from '../site-weights.ts';
import { findSites, type Site } from '../sites.ts';
import { inSeries } from './series.ts';

/** What is looked at of a weight: its size, spectrum, spread and place; none of it needs data. */
export const featureNames = [
  'sum of squares',
  'effective rank',
  'energy of the lower half',
  'range of rows',
  'columns',
  'place in its block',
  'in series',
] as const;

const logOf = (value: number): number => Math.log(Math.max(value, 1e-12));

/** Logarithms of how a spectrum is spread: effective rank by entropy, share of the lower half. */
const spectrumFeatures = (s: Float64Array): [number, number] => {
  const energies = s.map((value) => value ** 2);
  const total = energies.reduce((sum, value) => sum + value, 0);
  if (!(total > 0)) return [0, 0];
  const entropy = energies.reduce((sum, value) => {
    const share = value / total;
    return share > 0 ? sum - share * Math.log(share) : sum;
  }, 0);
  const lower = energies.subarray(Math.ceil(s.length / 2)).reduce((sum, value) => sum + value, 0);
  return [entropy - Math.log(s.length), logOf(lower / total)];
};

/** Logarithm of the mean squared range of rows over the mean square of elements. */
const rangeFeature = (w: Float32Array, { rows, columns }: Site, meanSquare: number): number => {
  if (!(meanSquare > 0)) return 0;
  let ranges = 0;
  for (let row = 0; row < rows; row++) {
    let [low, high] = [0, 0];
    for (let at = row * columns; at < (row + 1) * columns; at++) {
      low = Math.min(low, w[at]!);
      high = Math.max(high, w[at]!);
    }
    ranges += (high - low) ** 2;
  }
  return logOf(ranges / rows / meanSquare);
};

/** Where each site stands among those of its block, from 0 to 1. */
const placesIn = (sites: readonly Site[]): Map<Site, number> => {
  const blocks = new Map<number | undefined, Site[]>();
  for (const site of sites) blocks.set(site.block, [...(blocks.get(site.block) ?? []), site]);
  return new Map(
    [...blocks].flatMap(([block, own]) =>
      own.map((site, at): [Site, number] => [
        site,
        block === undefined || own.length < 2 ? 0.5 : at / (own.length - 1),
      ]),
    ),
  );
};

/** Standardises each feature over the sites of a model, in place: models differ in scale, sites are compared. */
const standardise = (rows: readonly Float64Array[]): void => {
  for (let feature = 0; feature < featureNames.length; feature++) {
    const mean = rows.reduce((sum, row) => sum + row[feature]!, 0) / rows.length;
    const spread = Math.sqrt(rows.reduce((sum, row) => sum + (row[feature]! - mean) ** 2, 0) / rows.length);
    for (const row of rows) row[feature] = spread > 1e-9 ? (row[feature]! - mean) / spread : 0;
  }
};

/** Weights of sites by name, with the normalisations that follow them in. */
const foldedWeights = (program: Program): Map<string, Float32Array> => {
  const folded = cloneProgram(program);
  foldBatchNormalization(folded);
  return new Map(findSites(folded).map((site) => [site.name, readSiteMatrix(site)]));
};

/**
 * Features of weights of one program (see `featureNames`), each standardised over the given sites, which are to be in
 * execution order.
 */
export const weightFeatures = async (
  program: Program,
  sites: readonly Site[],
  signal?: AbortSignal,
): Promise<Float64Array[]> => {
  const folded = foldedWeights(program);
  const places = placesIn(sites);
  const series = inSeries(program.graph, sites);
  const rows: Float64Array[] = [];
  for (const [index, site] of sites.entries()) {
    signal?.throwIfAborted();
    const own = readSiteMatrix(site);
    const known = folded.get(site.name);
    const w = known?.length === own.length ? known : own;
    const squares = w.reduce((sum, value) => sum + value ** 2, 0);
    const { s } = await svd(Float64Array.from(w), site.rows, site.columns, { signal });
    const features = [
      logOf(squares),
      ...spectrumFeatures(s),
      rangeFeature(w, site, squares / w.length),
      Math.log(site.columns),
      places.get(site)!,
      series[index] ? 1 : 0,
    ];
    rows.push(Float64Array.from(features));
  }
  standardise(rows);
  return rows;
};
