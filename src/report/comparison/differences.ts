import { parse } from 'yaml';
import { siteError } from '../site-error.ts';
import type { NamedReport } from './rows.ts';

/** A key of recipes whose value is not the same in all of them. */
export interface RecipeDifference {
  readonly key: string;
  /** One for each run; undefined where the recipe does not have the key. */
  readonly values: readonly (string | undefined)[];
}

/** Leaves of a value by their dotted paths. */
const leavesOf = (value: unknown, path: string, leaves: Map<string, string>): Map<string, string> => {
  if (typeof value === 'object' && value !== null && Object.keys(value).length > 0)
    for (const [key, inner] of Object.entries(value)) leavesOf(inner, path === '' ? key : `${path}.${key}`, leaves);
  else leaves.set(path, typeof value === 'string' ? value : JSON.stringify(value));
  return leaves;
};

/** What the recipes of runs ask for differently. */
export const recipeDifferences = (runs: readonly NamedReport[]): RecipeDifference[] => {
  const recipes = runs.map(({ report }) => leavesOf(parse(report.recipeText), '', new Map<string, string>()));
  const keys = [...new Set(recipes.flatMap((recipe) => [...recipe.keys()]))];
  return keys
    .map((key) => ({ key, values: recipes.map((recipe) => recipe.get(key)) }))
    .filter(({ key, values }) => key !== 'output' && new Set(values).size > 1);
};

/** The error of one site in two runs. */
export interface SiteDifference {
  readonly site: string;
  readonly error: string;
  readonly first: number;
  readonly second: number;
}

/** Sites whose error both of two runs tell, the greatest change first. */
export const siteDifferences = (first: NamedReport, second: NamedReport): SiteDifference[] => {
  const errorsOf = ({ report }: NamedReport) =>
    new Map(
      report.stages.flatMap(({ sites }) =>
        sites.flatMap(({ site, facts }) => {
          const error = siteError(facts);
          return error ? [[site, error] as const] : [];
        }),
      ),
    );
  const [a, b] = [errorsOf(first), errorsOf(second)];
  return [...a]
    .flatMap(([site, error]) => {
      const other = b.get(site);
      return other?.name === error.name ? [{ site, error: error.name, first: error.value, second: other.value }] : [];
    })
    .sort((x, y) => Math.abs(y.second - y.first) - Math.abs(x.second - x.first));
};
