import { siteTensor } from '../../../analysis/site-weights.ts';
import { findSites, type Site } from '../../../analysis/sites.ts';
import type { Program, Use, Value } from '../../../ir/graph.ts';
import { graphsWithin } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { RoundingMethodName } from '../methods/index.ts';
import type { WeightOptions } from '../options.ts';
import { describeScheme, type WeightScheme } from './scheme.ts';
import { compileSelector, findUnmatched, selectSites } from './select.ts';

/** One constant to round, and every site that reads it: tied weights are rounded once. */
export interface WeightUnit {
  /** Name of the first site that reads it. */
  readonly name: string;
  readonly weight: Value;
  /** At least one; all see the constant as the same matrix. */
  readonly sites: readonly [Site, ...Site[]];
  readonly scheme: WeightScheme;
  readonly method: RoundingMethodName;
}

export interface WeightPlan {
  /** In execution order of their first sites. */
  readonly units: readonly WeightUnit[];
  /** Every other site of the program, with the reason. */
  readonly kept: ReadonlyMap<Site, string>;
  readonly sites: readonly Site[];
  readonly findings: readonly Finding[];
}

interface Wish {
  readonly scheme: WeightScheme;
  readonly method: RoundingMethodName | 'auto';
}

/** What the options ask for a site: the first override that matches, over the common settings. */
const wishFor = (site: Site, options: WeightOptions, matchers: readonly ((site: Site) => boolean)[]): Wish | 'keep' => {
  const override = options.overrides[matchers.findIndex((matches) => matches(site))];
  if (!override) return { scheme: options.weights, method: options.method };
  if (override.weights === 'keep') return 'keep';
  return { scheme: { ...options.weights, ...override.weights }, method: override.method ?? options.method };
};

/** True when H = E[x xᵀ] of the matrix's inputs describes what its rounding does to the output. */
export const hasGram = (site: Site): boolean => site.op === 'MatMul' || site.op === 'Gemm' || site.op === 'Conv';

/** Reads of a constant that are not weight operands of the given sites: node names. A Transpose before a MatMul is looked through. */
const otherReaders = (weight: Value, sites: readonly Site[], program: Program): string[] => {
  const isWeightOf = (use: Use): boolean =>
    sites.some((site) => site.node === use.node && site.weightIndex === use.index);
  const others = weight.uses
    .flatMap((use) =>
      use.node.op === 'Transpose' && !isWeightOf(use) ? [...(use.node.outputs[0]?.uses ?? [])] : [use],
    )
    .filter((use) => !isWeightOf(use))
    .map((use) => use.node.name || use.node.op);
  const isOutput = [...graphsWithin(program.graph)].some((graph) => graph.outputs.includes(weight));
  return isOutput ? [...others, 'the graph’s output'] : others;
};

/** Why the sites that share a constant cannot share its integers, if so. */
const disagreement = (sites: readonly Site[], wishes: readonly Wish[]): string | undefined => {
  const [first, ...rest] = sites;
  if (rest.some((site) => site.rows !== first!.rows || site.layout !== first!.layout))
    return 'its sites see the shared constant as different matrices';
  const schemes = new Set(wishes.map(({ scheme }) => describeScheme(scheme)));
  if (schemes.size > 1) return `its sites ask for different schemes: ${[...schemes].join(', ')}`;
  return undefined;
};

const groupByWeight = (sites: readonly Site[]): Map<Value, Site[]> => {
  const groups = new Map<Value, Site[]>();
  for (const site of sites) groups.set(site.weight, [...(groups.get(site.weight) ?? []), site]);
  return groups;
};

interface Decision {
  readonly method: RoundingMethodName;
  readonly findings: readonly Finding[];
}

/** The method that really rounds a constant, with what has to be said about it. */
const decideMethod = (
  sites: readonly Site[],
  wishes: readonly Wish[],
  program: Program,
  calibrated: boolean,
): Decision => {
  const asked = new Set(wishes.map(({ method }) => method));
  const wanted = asked.size === 1 ? wishes[0]!.method : 'auto';
  const goal = wanted === 'auto' ? (calibrated ? 'gptq' : 'rtn') : wanted;
  if (goal === 'rtn') return { method: 'rtn', findings: [] };
  const [first] = sites;
  const blind = sites.find((site) => !hasGram(site)) ?? sites.find((site) => site.graph !== program.graph);
  if (!blind) return { method: goal, findings: [] };
  const why = hasGram(blind) ? 'it stands in the body of a control-flow node' : `it is read by ${blind.op}`;
  return {
    method: 'rtn',
    findings: [
      {
        kind: wanted === 'auto' ? 'fact' : 'fallback',
        site: first!.name,
        text: `rounded to nearest instead of by ${goal}: ${why}`,
      },
    ],
  };
};

const supportedTypes: readonly string[] = ['float32', 'float16', 'bfloat16'];

/**
 * Decides what happens to every site, without reading a weight.
 * `calibrated`: whether calibration data will be there (what 'auto' depends on).
 * @throws CompressError 'recipe' for a pattern that is no regular expression.
 */
export const planWeights = (program: Program, options: WeightOptions, calibrated: boolean): WeightPlan => {
  const sites = findSites(program);
  const selectors = options.overrides.map(({ match }) => compileSelector(match));
  const matchers = selectors.map((selector) => (site: Site) => selector.matches(site));
  const { chosen, kept: unselected, findings: selectionFindings } = selectSites(sites, options);
  const findings: Finding[] = [...selectionFindings, ...findUnmatched('overrides', selectors, sites)];
  const kept = new Map(unselected);
  const wishes = new Map<Site, Wish>();
  for (const site of chosen) {
    const wish = wishFor(site, options, matchers);
    const { dtype } = siteTensor(site);
    if (wish === 'keep') kept.set(site, 'kept by an override');
    else if (!supportedTypes.includes(dtype))
      kept.set(site, `${dtype} weights cannot be rounded; convert to float32 first`);
    else wishes.set(site, wish);
  }
  const units: WeightUnit[] = [];
  for (const [weight, members] of groupByWeight([...wishes.keys()])) {
    const [first, ...rest] = members as [Site, ...Site[]];
    const wished = members.map((site) => wishes.get(site)!);
    const others = otherReaders(weight, members, program);
    const why =
      disagreement(members, wished) ??
      (others.length > 0
        ? `its constant is also read by ${others.slice(0, 3).join(', ')}, which stays as it is`
        : undefined);
    if (why) {
      for (const site of members) kept.set(site, why);
      findings.push({ kind: 'fallback', site: first.name, text: `left out: ${why}` });
      continue;
    }
    const decision = decideMethod(members, wished, program, calibrated);
    findings.push(...decision.findings);
    units.push({
      name: first.name,
      weight,
      sites: [first, ...rest],
      scheme: wished[0]!.scheme,
      method: decision.method,
    });
  }
  return { units, kept, sites, findings };
};
