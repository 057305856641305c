import { tmpdir } from 'node:os';
import { type ExpertLayer, findExpertLayers } from '../analysis/experts/layers.ts';
import {
  type ExpertBytes,
  fixedPlacement,
  leastRecentlyUsed,
  type PlacementFacts,
  placeExperts,
  type Residents,
} from '../analysis/experts/placement.ts';
import { countsOf, evennessOf, frequentSteps, type PathStep, type RoutingTrace } from '../analysis/experts/routing.ts';
import { siteTensor } from '../analysis/site-weights.ts';
import { traceRouting } from '../calibration/statistics/routing.ts';
import { CompressError } from '../errors.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import type { Emit } from './events.ts';
import type { PlannedStage, PlanReport } from './plan.ts';
import { calibrationOf, prepareRun } from './prepare.ts';
import type { Recipe } from './recipe.ts';

export interface PlacementRequest {
  readonly recipe: Recipe;
  readonly plan: Pick<PlanReport, 'stages'>;
  /** Bytes of experts that the fast device holds. */
  readonly fastMemoryBytes: number;
  /** Bytes a second from the slow memory to the fast device, and within the fast device. */
  readonly transferBandwidth: number;
  readonly fastBandwidth: number;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** One way of using the fast device's memory, and what is to be expected of it. */
export interface PlacementChoice extends PlacementFacts {
  readonly name: 'most-called' | 'whole-paths-first' | 'least-recently-used';
  readonly bytes: number;
  /** Seconds that the experts of one token take: reading those it calls, and waiting for those that are not there. */
  readonly secondsPerToken: number;
}

export interface PlacedLayer {
  readonly block: number;
  readonly chosen: number;
  /** Calls of each expert. */
  readonly calls: readonly number[];
  readonly evenness: number;
  /** Numbers of the experts that stay on the fast device, by calls. */
  readonly residents: readonly number[];
  /** Steps to the next sparse layer that most tokens take. */
  readonly steps: readonly PathStep[];
}

/** Which experts stay on the fast device, and what that means for tokens like those of the calibration data. */
export interface PlacementReport {
  readonly tokens: number;
  readonly expertBytes: number;
  readonly fastMemoryBytes: number;
  readonly transferBandwidth: number;
  readonly fastBandwidth: number;
  readonly layers: readonly PlacedLayer[];
  readonly choices: readonly PlacementChoice[];
}

/** Share of the memory that goes to whole paths where they come first. */
const pathShare = 0.5;

/** Steps between two layers that are told. */
const mostSteps = 3;

/** Bytes of each expert after the last stage that treats it, as the stages predict them. */
const bytesOfExperts = (layers: readonly ExpertLayer[], stages: readonly PlannedStage[]): ExpertBytes => {
  const after = new Map(
    stages.flatMap(({ sites }) => sites.map(({ site, bytesAfter }) => [site, bytesAfter] as const)),
  );
  return layers.map(({ experts }) =>
    experts.map(({ sites }) =>
      sites.reduce((sum, site) => sum + (after.get(site.name) ?? siteTensor(site).byteLength), 0),
    ),
  );
};

const residentNumbers = (residents: Residents, layer: number): number[] =>
  (residents[layer] ?? []).flatMap((stays, expert) => (stays ? [expert] : []));

const placedLayers = (layers: readonly ExpertLayer[], trace: RoutingTrace, residents: Residents): PlacedLayer[] =>
  layers.map(({ block, chosen }, index) => {
    const [own, next] = [trace.layers[index]!, trace.layers[index + 1]];
    return {
      block,
      chosen,
      calls: countsOf(own),
      evenness: evennessOf(own),
      residents: residentNumbers(residents, index),
      steps: next ? frequentSteps(own, next, trace.tokens, mostSteps) : [],
    };
  });

/**
 * Follows the calibration data through the routers of a recipe's model and plans which experts stay on a fast device.
 * Sizes are those after the recipe's stages; routing is that of the model as it is.
 * @throws CompressError 'mismatch' for a model without sparse layers, 'usage' without calibration data.
 */
export const planPlacement = async (request: PlacementRequest): Promise<PlacementReport> => {
  const { recipe, plan, fastMemoryBytes, transferBandwidth, fastBandwidth, emit, signal } = request;
  const prepared = await prepareRun(recipe);
  const { program } = prepared.model;
  const layers = findExpertLayers(program);
  if (layers.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: 'the model has no experts to place: no layer whose router is known chooses among them',
      where: { flag: '--fast-memory' },
    });
  const dataset = calibrationOf(prepared);
  if (!dataset)
    throw new CompressError({
      code: 'usage',
      message: 'a placement follows calibration data through the routers, and the recipe gives none',
      where: { flag: '--fast-memory' },
      hint: 'Add data: { calibration: { text: corpus.txt, window: 512, samples: 64 } }.',
    });
  const scratch = { directory: tmpdir() };
  const trace = await traceRouting(layers, { program, dataset, engine: onnxruntimeEngine, scratch, emit, signal });
  const sizes = bytesOfExperts(layers, plan.stages);
  const called = layers.reduce((sum, { chosen }, index) => {
    const counts = countsOf(trace.layers[index]!);
    const bytes = counts.reduce((total, count, expert) => total + count * sizes[index]![expert]!, 0);
    return sum + (trace.tokens > 0 ? bytes / trace.tokens : chosen * (sizes[index]![0] ?? 0));
  }, 0);
  const choiceOf = (name: PlacementChoice['name'], bytes: number, facts: PlacementFacts): PlacementChoice => ({
    ...{ name, bytes, ...facts },
    secondsPerToken: called / fastBandwidth + facts.missedBytes / transferBandwidth,
  });
  const byCalls = placeExperts(trace, sizes, { capacityBytes: fastMemoryBytes, pathShare: 0 });
  const byPaths = placeExperts(trace, sizes, { capacityBytes: fastMemoryBytes, pathShare });
  return {
    tokens: trace.tokens,
    expertBytes: sizes.flat().reduce((sum, bytes) => sum + bytes, 0),
    ...{ fastMemoryBytes, transferBandwidth, fastBandwidth },
    layers: placedLayers(layers, trace, byCalls.residents),
    choices: [
      choiceOf('most-called', byCalls.bytes, fixedPlacement(trace, sizes, byCalls.residents)),
      choiceOf('whole-paths-first', byPaths.bytes, fixedPlacement(trace, sizes, byPaths.residents)),
      choiceOf('least-recently-used', byCalls.bytes, leastRecentlyUsed(trace, sizes, byCalls, fastMemoryBytes)),
    ],
  };
};
