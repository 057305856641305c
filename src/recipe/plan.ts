import { measureCost } from '../analysis/cost.ts';
import type { PlannedWeight } from '../artifact/formats/format.ts';
import { inputSignature } from '../execution/signature.ts';
import type { StagePlan } from '../stages/stage.ts';
import { prepareRun } from './prepare.ts';
import type { Recipe } from './recipe.ts';

export interface PlannedData {
  readonly name: string;
  readonly description: string;
  readonly samples: number;
}

/** One stage of a plan: a row for each site, and their sums. */
export interface PlannedStage extends StagePlan {
  readonly stage: string;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** What a recipe would do, found without reading a weight. */
export interface PlanReport {
  readonly recipe: string | undefined;
  readonly model: {
    readonly path: string;
    readonly family: string | undefined;
    readonly inputs: readonly string[];
    readonly constantBytes: number;
  };
  readonly calibration: readonly PlannedData[];
  readonly training: readonly PlannedData[];
  readonly evaluation: readonly PlannedData[];
  readonly stages: readonly PlannedStage[];
  readonly formats: readonly string[];
  readonly metrics: readonly string[];
  readonly output: string;
  /** Constants after all stages, as the stages predict them. */
  readonly predictedBytes: number;
  /** Greatest prediction of a stage. */
  readonly memoryBytes: number;
  readonly warnings: readonly string[];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Bytes that all stages together take off: where several treat a site, the one that makes it smallest counts. */
const savedBytes = (stages: readonly PlannedStage[]): number => {
  const saved = new Map<string, number>();
  for (const { sites } of stages)
    for (const { site, bytesBefore, bytesAfter } of sites)
      saved.set(site, Math.max(saved.get(site) ?? Number.NEGATIVE_INFINITY, bytesBefore - bytesAfter));
  return sum([...saved.values()]);
};

/**
 * Plans a recipe: sites matched with what happens to each, predicted sizes and memory.
 * @throws CompressErrors with everything that is wrong with it.
 */
export const planRecipe = async (recipe: Recipe): Promise<PlanReport> => {
  const prepared = await prepareRun(recipe);
  const stages = recipe.stages.map((stage, index): PlannedStage => {
    const { next: _, ...plan }: StagePlan = prepared.plans[index] ?? { sites: [], memoryBytes: 0, findings: [] };
    return {
      stage: stage.name,
      ...plan,
      bytesBefore: sum(plan.sites.map((site) => site.bytesBefore)),
      bytesAfter: sum(plan.sites.map((site) => site.bytesAfter)),
    };
  });
  const before = measureCost(prepared.model.program).storedBytes;
  return {
    recipe: recipe.source.file,
    model: {
      path: recipe.model.path,
      family: prepared.model.family,
      inputs: inputSignature(prepared.model.program).map((input) => input.name),
      constantBytes: before,
    },
    calibration: prepared.calibration.map(planned),
    training: prepared.training.map(planned),
    evaluation: prepared.evaluation.map(planned),
    stages,
    formats: recipe.formats.map((format) => format.name),
    metrics: [...new Set(prepared.evaluation.flatMap((data) => data.metrics))],
    output: recipe.output,
    predictedBytes: Math.max(0, before - savedBytes(stages)),
    memoryBytes: Math.max(0, ...stages.map((stage) => stage.memoryBytes)),
    warnings: [...prepared.warnings, ...formatWarnings(recipe, stages)],
  };
};

/** What the formats of a recipe cannot carry of what its stages would pack; of each kind the first site and a count. */
const formatWarnings = (recipe: Recipe, stages: readonly PlannedStage[]): string[] => {
  const last = new Map<string, PlannedWeight>();
  for (const { sites } of stages)
    for (const { site, op, rows, columns, packing } of sites)
      if (packing) last.set(site, { site, op, rows, columns, ...packing });
  return recipe.formats.flatMap(({ card }) => {
    const sitesOf = new Map<string, string[]>();
    for (const { text, site } of card.foresee?.([...last.values()], recipe.target) ?? [])
      sitesOf.set(text, [...(sitesOf.get(text) ?? []), ...(site === undefined ? [] : [site])]);
    return [...sitesOf].map(([text, [first, ...more]]) =>
      first === undefined ? text : `${first}${more.length > 0 ? ` and ${more.length} more` : ''}: ${text}`,
    );
  });
};

const planned = ({
  name,
  dataset,
}: {
  readonly name: string;
  readonly dataset: { description: string; length: number };
}): PlannedData => ({
  name,
  description: dataset.description,
  samples: dataset.length,
});
