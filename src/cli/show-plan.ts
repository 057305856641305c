import { relative } from 'node:path';
import { forecastRecipe } from '../recipe/forecast.ts';
import { type PlacementRequest, planPlacement } from '../recipe/placement.ts';
import { type PlannedStage, type PlanReport, planRecipe } from '../recipe/plan.ts';
import { formatBytes } from '../recipe/quantity.ts';
import type { Recipe } from '../recipe/recipe.ts';
import { printable, type Style } from '../reporters/style.ts';
import { formatTable } from '../reporters/table.ts';
import type { SitePlan, StageForecast } from '../stages/stage.ts';
import type { CommandContext, CommandResult } from './command.ts';
import { withProgress } from './live-progress.ts';
import { placementText } from './show-placement.ts';

const columns = [
  { title: 'site' },
  { title: 'operator' },
  { title: 'rows × columns', align: 'right' },
  { title: 'before', align: 'right' },
  { title: 'after', align: 'right' },
  { title: 'what happens' },
] as const;

const siteRow = (site: SitePlan, style: Style): string[] => {
  const kept = site.bytesAfter >= site.bytesBefore;
  const action = `${printable(site.action)}${site.reason ? ` (${printable(site.reason)})` : ''}`;
  return [
    printable(site.site),
    site.op,
    `${site.rows} × ${site.columns}`,
    formatBytes(site.bytesBefore),
    formatBytes(site.bytesAfter),
    kept ? style.dim(action) : action,
  ];
};

const stageText = (stage: PlannedStage, index: number, style: Style): string => {
  const title = style.bold(`[${index + 1}] ${stage.stage}`);
  const sums = `${stage.sites.length} sites, ${formatBytes(stage.bytesBefore)} → ${formatBytes(stage.bytesAfter)}, up to ${formatBytes(stage.memoryBytes)} of memory`;
  const findings = stage.findings.map(
    (finding) =>
      `${finding.kind === 'fact' ? 'note' : style.warn(finding.kind)}: ${finding.site ? `${printable(finding.site)}: ` : ''}${printable(finding.text)}`,
  );
  const table =
    stage.sites.length > 0
      ? [
          formatTable(
            columns,
            stage.sites.map((site) => siteRow(site, style)),
            style,
          ),
        ]
      : [];
  return [`${title}  ${sums}`, ...table, ...findings].join('\n');
};

const planText = (plan: PlanReport, directory: string, style: Style): string => {
  const shown = (path: string): string => printable(relative(directory, path) || '.');
  const data = (title: string, sets: PlanReport['evaluation']): string[] =>
    sets.map((set) => `${title}  ${printable(set.name)}: ${set.samples} samples (${printable(set.description)})`);
  const head = [
    `model        ${shown(plan.model.path)}${plan.model.family ? ` (${plan.model.family})` : ''}, constants of ${formatBytes(plan.model.constantBytes)}`,
    ...data('calibration', plan.calibration),
    ...data('training   ', plan.training),
    ...data('evaluation ', plan.evaluation),
    ...(plan.metrics.length > 0 ? [`metrics      ${plan.metrics.join(', ')}`] : []),
    `output       ${shown(plan.output)}: ${plan.formats.join(', ')}`,
  ];
  return [
    head.join('\n'),
    ...plan.stages.map((stage, index) => stageText(stage, index, style)),
    ...plan.warnings.map((warning) => `${style.warn('warning')}: ${printable(warning)}`),
    `Predicted: constants of ${formatBytes(plan.model.constantBytes)} become ${style.bold(formatBytes(plan.predictedBytes))}. Nothing was written.`,
  ].join('\n\n');
};

const frontColumns = [
  { title: 'left', align: 'right' },
  { title: 'predicted loss', align: 'right' },
  { title: 'parts changed' },
] as const;

const frontText = ({ measure, points }: StageForecast, style: Style): string => {
  const shown = (cost: number): string =>
    measure === 'bytes' ? formatBytes(Math.round(cost)) : Math.round(cost).toLocaleString('en');
  const rows = points.map(({ share, cost, loss, kinds }) => [
    `${+(100 * share).toPrecision(3)} %, ${shown(cost)}`,
    loss.toPrecision(3),
    Object.entries(kinds)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', '),
  ]);
  return [
    style.bold(`What budgets of ${measure} would lose, in nats an item:`),
    formatTable(frontColumns, rows, style),
  ].join('\n');
};

/** What a plan looks at beyond the recipe itself. */
interface PlanExtras {
  /** Predict what budgets of the first stage would lose. */
  readonly front?: boolean;
  /** Plan which experts stay on a fast device. */
  readonly placement?: Pick<PlacementRequest, 'fastMemoryBytes' | 'transferBandwidth' | 'fastBandwidth'> | undefined;
}

/** Plans a recipe and words the plan, with what is asked for beside it. */
export const planAndShow = async (
  recipe: Recipe,
  context: CommandContext,
  { front = false, placement: device }: PlanExtras = {},
): Promise<CommandResult> => {
  const plan = await planRecipe(recipe);
  const { signal, io } = context;
  const forecast = front ? await withProgress(context, (emit) => forecastRecipe({ recipe, emit, signal })) : undefined;
  const placement = device
    ? await withProgress(context, (emit) => planPlacement({ recipe, plan, emit, signal, ...device }))
    : undefined;
  return {
    data: { ...plan, ...(forecast ? { forecast } : {}), ...(placement ? { placement } : {}) },
    text: (style) =>
      [
        planText(plan, io.directory, style),
        ...(forecast ? [frontText(forecast, style)] : []),
        ...(placement ? [placementText(placement, style)] : []),
      ].join('\n\n'),
  };
};
