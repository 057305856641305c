import type { CompressionChoice, CompressionOption, OptionCost } from '../../curvature/options.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { sensitivityStage } from '../sensitivity/index.ts';
import type { SensitivityOptions } from '../sensitivity/options.ts';
import type { ReportedOption, ReportedSite } from '../sensitivity/report.ts';
import { findSensitivity } from '../sensitivity/sensitivity.ts';
import type { StageContext } from '../stage.ts';
import type { Edit } from './edit.ts';
import type { AutoOptions } from './options.ts';

/** What every width loses at every site, predicted by rounding it with GPTQ. */
export interface Widths {
  readonly bySite: ReadonlyMap<string, ReportedSite>;
  readonly findings: readonly Finding[];
}

/** Options of the sensitivity stage that fit those of this one. */
export const widthOptions = (
  { bits, groupSizes, targets, ignore }: Pick<AutoOptions, 'bits' | 'groupSizes' | 'targets' | 'ignore'>,
  budget?: { readonly bytes: number },
): SensitivityOptions =>
  sensitivityStage.options.parse({
    bits: [...bits, 'none'],
    group_size: groupSizes,
    targets,
    ignore,
    ...(budget ? { budget: { size: budget } } : {}),
  });

/** Rounds every site to every width and predicts the losses. */
export const surveyWidths = async (
  program: Program,
  options: Pick<AutoOptions, 'bits' | 'groupSizes' | 'targets' | 'ignore'>,
  context: StageContext,
): Promise<Widths> => {
  const { report } = await findSensitivity(program, context.calibration!, widthOptions(options), context);
  return { bySite: new Map(report.sites.map((site) => [site.site, site])), findings: report.findings };
};

/**
 * A factor holds half of what its weight did, with the noise of its own rounding in each: the loss of rounding both is
 * taken as twice that of rounding the whole. The widths themselves are chosen again on the factors as they are.
 */
const factorNoise = 2;

const formatOf = (site: ReportedSite, format: string): ReportedOption =>
  site.options.find((option) => option.format === format)!;

/** An option of a part whose sites, as far as they are left, are all stored in one format. */
const withFormat = (
  option: CompressionOption<readonly Edit[]>,
  dense: OptionCost,
  sites: readonly ReportedSite[],
  format: string,
): CompressionOption<readonly Edit[]> => {
  const left = dense.parameters > 0 ? option.cost.parameters / dense.parameters : 0;
  const factored = option.data.some(({ kind }) => kind === 'factor');
  const removed = option.data.some(({ kind }) => kind === 'remove');
  const formats = sites.map((site) => formatOf(site, format));
  const whole = formats.reduce((sum, { loss }) => sum + loss, 0);
  const bytes = formats.reduce((sum, one) => sum + one.bytes, 0);
  return {
    ...option,
    kind: option.kind === 'dense' ? 'bits' : `${option.kind}+bits`,
    label: `${option.label}, ${format}`,
    cost: { ...option.cost, bytes: bytes * left },
    loss: option.loss + whole * (factored ? factorNoise : 1) * (removed ? left : 1),
  };
};

/** Parts of which every structure may be stored in every width, and the other weights in every width. */
export const withWidths = (
  choices: readonly CompressionChoice<readonly Edit[]>[],
  { bySite }: Widths,
): CompressionChoice<readonly Edit[]>[] => {
  const seen = new Set<string>();
  const joined = choices.map((choice): CompressionChoice<readonly Edit[]> => {
    const sites = choice.sites.flatMap((name) => bySite.get(name) ?? []);
    for (const { site } of sites) seen.add(site);
    const [first] = sites;
    if (!first || sites.length < choice.sites.length) return choice;
    const dense = choice.options[0]!.cost;
    const options = first.options
      .filter(({ format }) => sites.every((site) => site.options.some((option) => option.format === format)))
      .filter(({ bits }) => bits !== 'none')
      .flatMap(({ format }) => choice.options.map((option) => withFormat(option, dense, sites, format)));
    return { ...choice, options: [...choice.options, ...options] };
  });
  const others = [...bySite.values()]
    .filter(({ site }) => !seen.has(site))
    .map(
      ({ site, rows, columns, options }): CompressionChoice<readonly Edit[]> => ({
        name: site,
        sites: [site],
        options: options.map(({ format, bits, bytes, loss }) => ({
          kind: bits === 'none' ? 'dense' : 'bits',
          label: format,
          cost: { bytes, parameters: rows * columns, operations: 0 },
          loss,
          data: [],
        })),
      }),
    );
  return [...joined, ...others];
};
