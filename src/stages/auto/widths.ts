import { readSiteMatrix } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import { internalError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import { dequantize, matmul, quantizeRtn } from '../../kernels/index.ts';
import type { Finding } from '../../recipe/events.ts';
import type { SiteMoments } from '../factorize/site-moments.ts';
import { codeWidths, groupSizeFor, packedBytes, type WeightScheme } from '../quantize/weights/scheme.ts';
import { sensitivityStage } from '../sensitivity/index.ts';
import type { SensitivityOptions } from '../sensitivity/options.ts';
import type { ReportedOption, ReportedSite } from '../sensitivity/report.ts';
import { findSensitivity } from '../sensitivity/sensitivity.ts';
import type { StageContext } from '../stage.ts';
import { bytesPerProduct } from './file-bytes.ts';
import type { AutoOptions } from './options.ts';
import type { EditChoice, EditOption } from './site-choice.ts';
import type { SiteMetrics } from './site-metrics.ts';

type WidthSettings = Pick<AutoOptions, 'bits' | 'groupSizes' | 'targets' | 'ignore'>;

/** Options of the sensitivity stage that fit those of this one. */
export const widthOptions = (
  { bits, groupSizes, targets, ignore }: WidthSettings,
  budget?: { readonly bytes: number },
): SensitivityOptions =>
  sensitivityStage.options.parse({
    bits: [...bits, 'none'],
    group_size: groupSizes,
    targets,
    ignore,
    ...(budget ? { budget: { size: budget } } : {}),
  });

/** How the quantize stage lays integers out unless it is told otherwise. */
export const schemeOf = ({ bits, group_size: groupSize }: ReportedOption): WeightScheme => {
  const width = codeWidths.find((one) => one === bits);
  if (width === undefined) throw internalError('a weight that stays as it is has no scheme');
  return { bits: width, groupSize, grid: 'asymmetric', clip: 'none' };
};

/** A matrix rounded to nearest. */
const rounded = async (
  matrix: Float64Array,
  rows: number,
  columns: number,
  scheme: WeightScheme,
  signal: AbortSignal,
): Promise<Float64Array> => {
  const common = { rows, columns, bits: scheme.bits, groupSize: groupSizeFor(scheme, columns) };
  const weight = Float32Array.from(matrix);
  const found = await quantizeRtn({ ...common, weight, scheme: scheme.grid, scaleType: 'float32', signal });
  return Float64Array.from(dequantize({ ...found, ...common }));
};

/** Bytes of a structure of a site in integers: those of both factors, or a share of those of the whole weight. */
const bytesOf = (option: EditOption, site: Site, scheme: WeightScheme, left: number): number => {
  const { rows, columns } = site;
  const [edit] = option.data;
  if (edit?.kind === 'factor')
    return packedBytes(scheme, rows, edit.rank) + packedBytes(scheme, edit.rank, columns) + bytesPerProduct;
  return packedBytes(scheme, rows, columns) * left;
};

/** tr(B D A Dᵀ) of a change (rows, columns). */
const lossOf = async (
  delta: Float64Array,
  { rows, columns }: Pick<Site, 'rows' | 'columns'>,
  { a, b }: SiteMoments,
  signal: AbortSignal,
): Promise<number> => {
  const da = await matmul({ a: delta, rows, inner: columns, b: a, columns, signal });
  const bda = b ? await matmul({ a: b, rows, inner: rows, b: da, columns, signal }) : da;
  return delta.reduce((sum, value, index) => sum + value * bda[index]!, 0);
};

const minus = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, index) => value - y[index]!);

/** What every width loses at every site, predicted by rounding it with GPTQ. */
export class Widths {
  readonly findings: readonly Finding[];
  readonly #bySite: ReadonlyMap<string, ReportedSite>;
  readonly #signal: AbortSignal;

  constructor(sites: readonly ReportedSite[], findings: readonly Finding[], signal: AbortSignal) {
    this.#bySite = new Map(sites.map((site) => [site.site, site]));
    this.findings = findings;
    this.#signal = signal;
  }

  /** The ways to store a site in integers. */
  formatsOf(site: string): readonly ReportedOption[] {
    return this.#bySite.get(site)?.options.filter(({ bits }) => bits !== 'none') ?? [];
  }

  /** The structures of a site (the first: dense) each in every width. */
  async optionsFor(site: Site, structures: readonly EditOption[], metrics: SiteMetrics): Promise<EditOption[]> {
    const dense = structures[0]!.cost.parameters;
    const made: EditOption[] = [];
    for (const format of this.formatsOf(site.name)) {
      const noise = structures.some(({ data }) => data.length > 0) ? await this.#factorNoise(site, format, metrics) : 1;
      for (const option of structures) {
        const left = option.cost.parameters / dense;
        made.push({
          ...option,
          kind: option.data.length === 0 ? 'bits' : `${option.kind}+bits`,
          label: option.data.length === 0 ? format.format : `${option.label}, ${format.format}`,
          cost: { ...option.cost, bytes: bytesOf(option, site, schemeOf(format), left) },
          loss: option.loss + format.loss * (option.data.length === 0 ? 1 : noise),
        });
      }
    }
    return made;
  }

  /** Weights that no part is made of, such as tables that are looked up. */
  others(known: ReadonlySet<string>): EditChoice[] {
    return [...this.#bySite.values()]
      .filter(({ site }) => !known.has(site))
      .map(({ site, rows, columns, options }) => ({
        name: site,
        sites: [site],
        options: [...options]
          .sort((one, other) => Number(other.bits === 'none') - Number(one.bits === 'none'))
          .map(({ format, bits, bytes, loss }) => ({
            kind: bits === 'none' ? 'dense' : 'bits',
            label: bits === 'none' ? 'dense' : format,
            cost: { bytes, parameters: rows * columns, operations: 0 },
            loss,
            data: [],
          })),
      }));
  }

  /**
   * How much more (or less) is lost by rounding two factors than by rounding the whole weight: both to nearest, the
   * factors at half of the greatest rank that saves anything.
   */
  async #factorNoise(site: Site, format: ReportedOption, metrics: SiteMetrics): Promise<number> {
    const { rows, columns } = site;
    const signal = this.#signal;
    const scheme = schemeOf(format);
    const moments = metrics.momentsOf(site);
    const weight = Float64Array.from(readSiteMatrix(site));
    const whole = minus(await rounded(weight, rows, columns, scheme, signal), weight);
    const rank = Math.max(1, Math.round((rows * columns) / (rows + columns) / 2));
    const { left, right } = (await metrics.spectrumOf(site)).decomposition.factors(rank);
    const product = (l: Float64Array, r: Float64Array): Promise<Float64Array> =>
      matmul({ a: l, rows, inner: rank, b: r, columns, signal });
    const packed = await product(
      await rounded(left, rows, rank, scheme, signal),
      await rounded(right, rank, columns, scheme, signal),
    );
    const lost = await lossOf(whole, site, moments, signal);
    const lostOfFactors = await lossOf(minus(packed, await product(left, right)), site, moments, signal);
    return lost > 0 ? lostOfFactors / lost : 1;
  }
}

/** Rounds every site to every width and predicts the losses. */
export const surveyWidths = async (
  program: Program,
  options: WidthSettings,
  context: StageContext,
): Promise<Widths> => {
  const { report } = await findSensitivity(program, context.calibration!, widthOptions(options), context);
  return new Widths(report.sites, report.findings, context.signal);
};
