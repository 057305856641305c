import type { Dataset } from '../calibration/dataset.ts';
import type { Program } from '../ir/graph.ts';
import { defaultMetrics } from '../metrics/evaluate.ts';
import { metrics } from '../metrics/table.ts';
import type { Bounds, Gate } from './gates.ts';
import type { Problems } from './problems.ts';
import type { Recipe } from './recipe.ts';

/** The metric that is measured on files, without data. */
export const sizeMetric = 'size';

const needsReference = (name: string): boolean =>
  metrics.find((metric) => metric.name === name)?.needsReference ?? false;

/** Metrics of a dataset: those that the recipe names (or that suit model and data), and those that gates hold. */
export const chooseMetrics = async (
  recipe: Recipe,
  program: Program,
  { name, dataset }: { readonly name: string; readonly dataset: Dataset },
): Promise<string[]> => {
  const wanted = recipe.metrics ?? (await defaultMetrics(program, dataset));
  const gated = recipe.gates.filter((gate) => gate.bounds.dataset === undefined || gate.bounds.dataset === name);
  return [...new Set([...wanted, ...gated.map((gate) => gate.metric)])].filter((metric) => metric !== sizeMetric);
};

/** Metrics that say something about a model alone. */
export const measuredAlone = (names: readonly string[]): string[] => names.filter((name) => !needsReference(name));

/** Metrics that compare with the model before. */
export const measuredBeside = (names: readonly string[]): string[] => names.filter(needsReference);

const comparing = (bounds: Bounds): string | undefined =>
  (['increase', 'drop', 'ratio'] as const).find((bound) => bounds[bound] !== undefined);

/** What a gate asks for that can never be measured. */
const complaintAbout = (gate: Gate, datasets: number): { message: string; hint: string } | undefined => {
  if (gate.metric !== sizeMetric && datasets === 0)
    return {
      message: `the gate '${gate.metric}' needs evaluation data, and the recipe gives none`,
      hint: 'Add data: { evaluation: { text: corpus.txt, window: 512 } } (or another kind of data).',
    };
  const bound = comparing(gate.bounds);
  if (bound !== undefined && needsReference(gate.metric))
    return {
      message: `'${bound}' has no meaning for '${gate.metric}', which already compares with the model before`,
      hint: 'Use max or min.',
    };
  return undefined;
};

/** Adds a problem for every gate that can never be judged. */
export const checkGates = (problems: Problems, recipe: Recipe): void => {
  recipe.gates.forEach((gate, index) => {
    const complaint = complaintAbout(gate, recipe.evaluation.length);
    if (complaint) problems.add(['gates', index, gate.metric], complaint, 'key');
  });
};
