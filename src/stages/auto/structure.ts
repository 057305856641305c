import { findSites, type Site } from '../../analysis/sites.ts';
import { gramObstacle } from '../../calibration/statistics/gram.ts';
import type { CostMeasure } from '../../curvature/options.ts';
import type { FactoredWeight } from '../../curvature/refit-factors.ts';
import { type CostScope, WeightCosts } from '../../curvature/removal/costs.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { chosenSites, refit } from '../refit.ts';
import { selectSites } from '../select-sites.ts';
import { sliceStatistics } from '../slice/statistics.ts';
import type { StageContext } from '../stage.ts';
import { applyEdits, type Edit } from './edit.ts';
import type { AutoOptions } from './options.ts';
import { choiceOfPart } from './part-choice.ts';
import { chainsOf, findParts } from './parts.ts';
import { sharingChoices } from './sharing.ts';
import { choiceOfSite, type EditChoice } from './site-choice.ts';
import { SiteMetrics } from './site-metrics.ts';
import { surveyWidths } from './widths.ts';

/** A part of a program and what it can be made of. */
export interface SurveyedPart {
  readonly choice: EditChoice;
  /** The part's sites each by itself, for when one of them is decided about elsewhere. */
  readonly sites: readonly EditChoice[];
}

/** What a program can be made of, and what each part of it would cost and lose. */
export interface Survey {
  readonly parts: readonly SurveyedPart[];
  /** Groups of layers that may share, in place of what their sites may become by themselves. */
  readonly sharing: readonly EditChoice[];
  readonly costs: WeightCosts;
  readonly findings: readonly Finding[];
  /** Carries out edits on the surveyed program or a copy of it; gives the weights that became two factors. */
  apply(program: Program, edits: readonly Edit[]): Promise<Map<string, FactoredWeight>>;
}

export interface SurveyRequest {
  readonly program: Program;
  readonly options: Omit<AutoOptions, 'budget'>;
  readonly scope: CostScope;
  readonly measure: CostMeasure;
  readonly context: StageContext;
}

/** Sites that structure may be changed of: chosen, with moments, and in a block where only blocks count. */
const structuralSites = (
  program: Program,
  { options, scope }: Pick<SurveyRequest, 'options' | 'scope'>,
): { sites: Site[]; findings: readonly Finding[] } => {
  const { chosen, findings } = selectSites(findSites(program), options);
  const numbered = chosen.some(({ block }) => block !== undefined);
  const inScope = (site: Site): boolean => scope === 'all' || !numbered || site.block !== undefined;
  return { sites: chosen.filter((site) => !gramObstacle(site) && inScope(site)), findings };
};

/** Collects the curvature of a program and finds every option of every part. */
export const survey = async (request: SurveyRequest): Promise<Survey> => {
  const { program, options, scope, measure, context } = request;
  const { signal, emit } = context;
  const { kinds, multiple } = options;
  const { sites, findings } = structuralSites(program, request);
  const channels = kinds.includes('removal') ? options.channels : [];
  const { parts } = findParts(program, sites, channels, chainsOf(options));
  const statistics = await sliceStatistics('curvature', program, sites, context);
  const curvature = statistics.curvature!;
  const costs = new WeightCosts(program, scope);
  const metrics = new SiteMetrics(curvature, context);
  const widths = kinds.includes('bits') ? await surveyWidths(program, options, context) : undefined;
  const surveyed: SurveyedPart[] = [];
  for (const part of parts) {
    checkSignal(signal);
    const own: EditChoice[] = [];
    for (const site of part.sites) own.push(await choiceOfSite(site, { kinds, metrics, multiple, widths, signal }));
    const choice = await choiceOfPart(part, own, { curvature, costs, measure, multiple, signal });
    surveyed.push({ choice, sites: own });
    const [done, total] = [surveyed.length, parts.length];
    emit({ type: 'progress', task: 'options', done, total, unit: 'parts', item: part.name });
  }
  const known = new Set(surveyed.flatMap(({ choice }) => choice.sites));
  const others = (widths?.others(known) ?? []).map((choice): SurveyedPart => ({ choice, sites: [choice] }));
  const single = parts.flatMap((part) => part.sites);
  const sharing = kinds.includes('sharing')
    ? await sharingChoices({ program, sites: single, options, metrics, widths, context })
    : [];
  return {
    parts: [...surveyed, ...others],
    sharing,
    costs,
    findings: [...findings, ...statistics.findings, ...(widths?.findings ?? [])],
    apply: (target, edits) =>
      applyEdits({
        program: target,
        parts: findParts(target, structuralSites(target, request).sites, channels, chainsOf(options)),
        edits,
        curvature,
        metrics,
        signal,
      }),
  };
};

/** Corrects a changed program against the original, as the options ask. */
export const refitStructure = async (
  program: Program,
  original: Program,
  {
    options,
    context,
    factored,
    step,
  }: {
    readonly options: Pick<AutoOptions, 'refit' | 'targets' | 'ignore'>;
    readonly context: StageContext;
    readonly factored: ReadonlyMap<string, FactoredWeight>;
    /** Tells checkpoints of several refits apart. */
    readonly step: number;
  },
): Promise<Finding[]> => {
  if (!options.refit) return [];
  const wanted = chosenSites(original, options);
  return refit({ ...options.refit, program, original, wanted, factored, checkpointKey: `refit-${step}` }, context);
};
