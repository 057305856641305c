import type { Site } from '../../analysis/sites.ts';
import type { Dataset } from '../../calibration/dataset.ts';
import { gramObstacle, siteGrams } from '../../calibration/statistics/gram.ts';
import { FullSum } from '../../curvature/moment-sums.ts';
import type { Curvature, SiteCurvature } from '../../curvature/moments.ts';
import { curvatureOf } from '../../curvature/store.ts';
import { CompressError, formatError } from '../../errors.ts';
import { observeProgram } from '../../execution/observe.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import type { StageContext } from '../stage.ts';
import { synapticFlow } from './synaptic-flow.ts';
import { taylorScores } from './taylor.ts';

/** What a method wants to know of the products that read channels. */
export type StatisticsNeed = 'nothing' | 'flow' | 'inputs' | 'curvature' | 'taylor';

/** Second moments of the inputs of products, and their means. */
export interface SliceStatistics {
  readonly curvature: Curvature | undefined;
  /** E[x] of a site's inputs (columns), where methods look at them. */
  readonly means: ReadonlyMap<string, Float64Array>;
  /** E|x ∂L/∂x| of a site's inputs (columns), of the loss or of the flow, where a method looks at them. */
  readonly taylor: ReadonlyMap<string, Float64Array>;
  readonly findings: readonly Finding[];
}

export const noStatistics: SliceStatistics = {
  curvature: undefined,
  means: new Map(),
  taylor: new Map(),
  findings: [],
};

interface StatisticsRequest {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly sites: readonly Site[];
  readonly context: StageContext;
}

/** One forward pass: A and the means of inputs, no gradients. */
const collectInputs = async ({ program, dataset, sites, context }: StatisticsRequest): Promise<SliceStatistics> => {
  const { engine, scratch, emit, signal } = context;
  const observed = sites.filter((site) => !gramObstacle(site));
  const grams = siteGrams(observed);
  const { observations } = grams;
  await observeProgram({ program, dataset, engine, observations, task: 'slice: inputs', scratch, emit, signal });
  const means = new Map<string, Float64Array>();
  const moments = new Map(
    observed.map((site): [string, SiteCurvature] => {
      const inputs = grams.gramsOf(site)!;
      if (inputs.length === 1) means.set(site.name, inputs[0]!.mean());
      const { name, rows, columns } = site;
      const { count } = inputs[0]!;
      return [
        name,
        {
          site: name,
          rows,
          columns,
          inputs: inputs.map((gram) => new FullSum(gram)),
          gradients: undefined,
          positions: count,
          items: count,
          trace: 0,
        },
      ];
    }),
  );
  return { curvature: { sites: moments, samples: dataset.length }, means, taylor: new Map(), findings: [] };
};

/**
 * The statistics that a method and the compensation of consumers need. Where gradients cannot be had the inputs alone
 * are taken, and the report says so.
 */
export const sliceStatistics = async (
  need: StatisticsNeed,
  program: Program,
  sites: readonly Site[],
  context: StageContext,
): Promise<SliceStatistics> => {
  const { calibration: dataset } = context;
  if (need === 'flow') {
    const names = new Set(sites.map(({ name }) => name));
    return { ...noStatistics, taylor: await synapticFlow(program, names, context) };
  }
  if (need === 'nothing' || !dataset) return noStatistics;
  const request: StatisticsRequest = { program, dataset, sites, context };
  if (need === 'inputs') return collectInputs(request);
  const names = new Set(sites.map(({ name }) => name));
  if (need === 'taylor')
    return { ...(await collectInputs(request)), taylor: await taylorScores(program, names, dataset, context) };
  try {
    const curvature = await curvatureOf({ program, dataset, context, wanted: ({ name }) => names.has(name) });
    return { ...noStatistics, curvature };
  } catch (error) {
    if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
    const text = `channels are judged by the outputs of their readers alone, since the curvature cannot be had: ${formatError(error)}`;
    return { ...(await collectInputs(request)), findings: [{ kind: 'fallback', text }] };
  }
};
