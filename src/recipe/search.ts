import { resolve } from 'node:path';
import { parse } from 'yaml';
import { CompressError } from '../errors.ts';
import type { RunReport } from '../report/schema.ts';
import type { MetricResult } from './events.ts';
import { type Override, parseSet } from './overrides.ts';
import type { Recipe } from './recipe.ts';
import { type RunOptions, runRecipe } from './run.ts';

/** A key of a recipe and the values that it takes in a search. */
export interface Variation {
  readonly key: string;
  readonly overrides: readonly Override[];
}

/** What a metric may come to at most, or has to come to at least where more is better. */
export interface SearchLimit {
  readonly metric: string;
  readonly value: number;
}

/** A recipe of a search with its results. */
export interface SearchPoint {
  readonly number: number;
  /** `key=value` of every varied key: with `--set` they make the same recipe again. */
  readonly settings: readonly string[];
  readonly output: string;
  /** Metrics of the first written format by name; empty where the recipe could not be carried out. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Why the recipe could not be carried out. */
  readonly obstacle?: string;
  /** No other point is better in one of cost and quality and as good in the other. */
  readonly onFront: boolean;
  readonly withinLimits: boolean;
}

export interface SearchReport {
  readonly cost: string;
  readonly quality: string;
  readonly points: readonly SearchPoint[];
  /** Number of the point of best quality within the limits. */
  readonly best?: number;
}

export interface SearchRequest extends RunOptions {
  /** Reads the recipe with values replaced. */
  readonly read: (overrides: readonly Override[]) => Recipe;
  readonly variations: readonly Variation[];
  /** Folder for the outputs of all points. */
  readonly output: string;
  readonly limits: readonly SearchLimit[];
  /** Metrics that the front is drawn in; quality by default the first that is measured. */
  readonly cost: string;
  readonly quality: string | undefined;
  readonly onPoint: (point: Omit<SearchPoint, 'onFront' | 'withinLimits'>, total: number) => void;
}

/** Reads `stages.0.auto.size=[0.1, 0.2]`. @throws usage error when the value is no list. */
export const parseVariation = (text: string): Variation => {
  const { path, value } = parseSet(text);
  const key = path.join('.');
  if (!Array.isArray(value) || value.length === 0)
    throw new CompressError({
      code: 'usage',
      message: `${key} is to be varied, but ${JSON.stringify(text)} gives no list of values`,
      where: { flag: '--vary' },
      hint: 'Write the values as a YAML list: --vary "stages.0.auto.size=[0.1, 0.2, 0.3]"',
    });
  return { key, overrides: value.map((one: unknown) => ({ path, value: one, flag: `--vary ${key}` })) };
};

/** Reads `size=0.3` or `kl=0.1`. @throws usage error when the value is no number. */
export const parseSearchLimit = (text: string): SearchLimit => {
  const split = text.indexOf('=');
  const value: unknown = split < 0 ? undefined : parse(text.slice(split + 1), { logLevel: 'error' });
  if (typeof value === 'number' && Number.isFinite(value)) return { metric: text.slice(0, split).trim(), value };
  throw new CompressError({
    code: 'usage',
    message: `cannot read ${JSON.stringify(text)} as metric=number`,
    where: { flag: '--limit' },
    hint: 'Name a metric and its limit: --limit size=500000 --limit kl=0.1',
  });
};

/** Every combination of the variations, the last one varying fastest. */
export const combinations = (variations: readonly Variation[]): Override[][] =>
  variations.reduce<Override[][]>(
    (points, { overrides }) => points.flatMap((point) => overrides.map((override) => [...point, override])),
    [[]],
  );

interface Measured {
  readonly values: Readonly<Record<string, number>>;
  readonly better: Readonly<Record<string, MetricResult['better']>>;
}

const measuredOf = (report: RunReport): Measured => {
  const first = report.metrics.after[0]?.format;
  const results = report.metrics.after.filter(({ format }) => format === first).map(({ result }) => result);
  return {
    values: Object.fromEntries(results.map(({ metric, value }) => [metric, value])),
    better: Object.fromEntries(results.map(({ metric, better }) => [metric, better])),
  };
};

/** Costs turned round where more is better, so that less always is. */
const asCost = (value: number, better: MetricResult['better']): number => (better === 'higher' ? -value : value);

/** Points that no other point beats in both: by number. */
export const frontOf = (points: readonly { readonly cost: number; readonly loss: number }[]): boolean[] =>
  points.map(({ cost, loss }, index) =>
    points.every(
      (other, at) =>
        at === index ||
        other.cost > cost ||
        other.loss > loss ||
        (other.cost === cost && other.loss === loss && at > index),
    ),
  );

const settingsOf = (overrides: readonly Override[]): string[] =>
  overrides.map(({ path, value }) => `${path.join('.')}=${JSON.stringify(value)}`);

type Attempt = Omit<SearchPoint, 'onFront' | 'withinLimits'> & { readonly better: Measured['better'] };

const attempt = async (request: SearchRequest, overrides: readonly Override[], number: number): Promise<Attempt> => {
  const output = resolve(request.output, `point-${number}`);
  const point = { number, settings: settingsOf(overrides), output };
  try {
    const recipe = request.read([...overrides, { path: ['output'], value: output, flag: '--output' }]);
    const { values, better } = measuredOf(await runRecipe(recipe, request));
    return { ...point, metrics: values, better };
  } catch (error) {
    const isObstacle = error instanceof CompressError && ['mismatch', 'numeric', 'unsupported'].includes(error.code);
    if (!isObstacle) throw error;
    return { ...point, metrics: {}, better: {}, obstacle: error.message };
  }
};

const judged = (attempts: readonly Attempt[], request: SearchRequest, quality: string): SearchPoint[] => {
  const better: Record<string, MetricResult['better']> = Object.assign({}, ...attempts.map((one) => one.better));
  const of = ({ metrics }: Attempt, metric: string): number =>
    metrics[metric] === undefined ? Number.POSITIVE_INFINITY : asCost(metrics[metric], better[metric]);
  const front = frontOf(attempts.map((one) => ({ cost: of(one, request.cost), loss: of(one, quality) })));
  return attempts.map(({ better: _, ...point }, index) => ({
    ...point,
    onFront: point.obstacle === undefined && front[index]!,
    withinLimits:
      point.obstacle === undefined &&
      request.limits.every(({ metric, value }) => of(attempts[index]!, metric) <= asCost(value, better[metric])),
  }));
};

/**
 * Runs a recipe once for every combination of varied values, one after the other; stages that combinations have in
 * common are computed once and taken from the cache then. Points whose budget cannot be met are kept with the reason.
 * @throws as `runRecipe` for recipes that are wrong; 'usage' when a metric that is asked for is not measured.
 */
export const searchRecipes = async (request: SearchRequest): Promise<SearchReport> => {
  const all = combinations(request.variations);
  const attempts: Attempt[] = [];
  for (const [index, overrides] of all.entries()) {
    const made = await attempt(request, overrides, index + 1);
    attempts.push(made);
    request.onPoint(made, all.length);
  }
  const known = new Set(attempts.flatMap(({ metrics }) => Object.keys(metrics)));
  const quality = request.quality ?? ['kl', 'perplexity', 'accuracy'].find((name) => known.has(name)) ?? [...known][0];
  const wanted = [
    request.cost,
    ...(quality === undefined ? [] : [quality]),
    ...request.limits.map(({ metric }) => metric),
  ];
  const missing = known.size > 0 ? wanted.find((name) => !known.has(name)) : undefined;
  if (missing !== undefined)
    throw new CompressError({
      code: 'usage',
      message: `${missing} was not measured in this search`,
      hint: `Measured were ${[...known].join(', ')}; name metrics and evaluation data in the recipe.`,
    });
  const points = judged(attempts, request, quality ?? request.cost);
  const better = attempts.find((one) => quality !== undefined && one.better[quality])?.better[quality!];
  const best = points
    .filter(({ withinLimits }) => withinLimits)
    .sort((a, b) => asCost(a.metrics[quality!]!, better) - asCost(b.metrics[quality!]!, better))[0];
  return { cost: request.cost, quality: quality ?? request.cost, points, ...(best ? { best: best.number } : {}) };
};
