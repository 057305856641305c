import { distance } from 'fastest-levenshtein';
import picomatch from 'picomatch';
import type { Site } from '../analysis/sites.ts';
import { CompressError } from '../errors.ts';
import type { Finding } from '../recipe/events.ts';

/** What a pattern looks at; a Site is one. */
export interface Selectable {
  readonly name: string;
  readonly op: string;
  readonly role: string | undefined;
  readonly weight: { readonly name: string };
}

/** One pattern of `targets`, `ignore` or `overrides`, ready to be asked. */
export interface Selector {
  readonly pattern: string;
  matches(site: Selectable): boolean;
}

const compileExpression = (pattern: string): RegExp => {
  try {
    return new RegExp(pattern.slice('re:'.length), 'u');
  } catch (cause) {
    throw new CompressError({
      code: 'recipe',
      message: `${pattern} is not a regular expression: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
};

/**
 * The words of a pattern: `re:…` is a regular expression found anywhere in the name, `op:Conv` an operator,
 * `role:down` a role, anything else an exact name or a glob (`*` also crosses dots and slashes, as `**` does).
 * Names are those of sites and of their weights.
 * @throws CompressError 'recipe' for a broken regular expression.
 */
export const compileSelector = (pattern: string): Selector => {
  if (pattern.startsWith('op:')) return { pattern, matches: (site) => site.op === pattern.slice('op:'.length) };
  if (pattern.startsWith('role:')) return { pattern, matches: (site) => site.role === pattern.slice('role:'.length) };
  const test = pattern.startsWith('re:') ? expressionTest(compileExpression(pattern)) : globTest(pattern);
  return { pattern, matches: (site) => test(site.name) || test(site.weight.name) };
};

const expressionTest =
  (expression: RegExp) =>
  (name: string): boolean =>
    expression.test(name);

/** Slashes are ordinary characters of names, so they are hidden from the glob, which treats them as separators. */
const globTest = (pattern: string): ((name: string) => boolean) => {
  const hidden = (text: string): string => text.replaceAll('/', '\u0001');
  const glob = picomatch(hidden(pattern), { dot: true, bash: true });
  return (name) => name === pattern || glob(hidden(name));
};

/** The names nearest to a word by edit distance, at most three, none that share nothing with it. */
const nearestNames = (word: string, names: readonly string[]): string[] =>
  [...new Set(names)]
    .map((name) => ({ name, far: name.includes(word) ? 0 : distance(word, name) / Math.max(word.length, name.length) }))
    .filter(({ far }) => far < 0.7)
    .sort((a, b) => a.far - b.far || (a.name < b.name ? -1 : 1))
    .slice(0, 3)
    .map(({ name }) => name);

/** The word that a pattern is likely a misspelling of. */
const vocabularyOf = (pattern: string, sites: readonly Selectable[]): { word: string; names: string[] } => {
  if (pattern.startsWith('op:')) return { word: pattern.slice(3), names: sites.map((site) => site.op) };
  if (pattern.startsWith('role:')) return { word: pattern.slice(5), names: sites.flatMap((site) => site.role ?? []) };
  return { word: pattern.replace(/^re:/, ''), names: sites.flatMap((site) => [site.name, site.weight.name]) };
};

/** A warning for every pattern that no site answers to, with the nearest names. */
export const findUnmatched = (key: string, selectors: readonly Selector[], sites: readonly Selectable[]): Finding[] =>
  selectors
    .filter((selector) => !sites.some((site) => selector.matches(site)))
    .map((selector) => {
      const { word, names } = vocabularyOf(selector.pattern, sites);
      const near = nearestNames(word, names);
      return {
        kind: 'warning',
        text: `${key} "${selector.pattern}" matches nothing${near.length > 0 ? `; the nearest names are ${near.join(', ')}` : ''}`,
      };
    });

export interface Selection {
  readonly chosen: readonly Site[];
  /** Sites that stay as they are, with the reason. */
  readonly kept: ReadonlyMap<Site, string>;
  readonly findings: readonly Finding[];
}

/** Sites that some target names and nothing ignores, in execution order. */
export const selectSites = (
  sites: readonly Site[],
  patterns: { readonly targets: readonly string[]; readonly ignore: readonly string[] },
): Selection => {
  const targets = patterns.targets.map(compileSelector);
  const ignored = patterns.ignore.map(compileSelector);
  const chosen: Site[] = [];
  const kept = new Map<Site, string>();
  for (const site of sites) {
    const veto = ignored.find((selector) => selector.matches(site));
    if (veto) kept.set(site, `ignored by "${veto.pattern}"`);
    else if (targets.some((selector) => selector.matches(site))) chosen.push(site);
    else kept.set(site, 'not among the targets');
  }
  return {
    chosen,
    kept,
    findings: [...findUnmatched('targets', targets, sites), ...findUnmatched('ignore', ignored, sites)],
  };
};
