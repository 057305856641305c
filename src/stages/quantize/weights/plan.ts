import { siteTensor } from '../../../analysis/site-weights.ts';
import { findSites, type Site } from '../../../analysis/sites.ts';
import { gramObstacle } from '../../../calibration/statistics/gram.ts';
import type { Program, Use, Value } from '../../../ir/graph.ts';
import { graphsWithin } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import { compileSelector, findUnmatched, selectSites } from '../../select-sites.ts';
import { type RoundingMethodName, roundingMethods } from '../methods/index.ts';
import type { WeightOptions } from '../options.ts';
import { allocatedScheme } from './allocation.ts';
import { expectUnquantized, isPacked } from './already.ts';
import { automaticMethod } from './automatic.ts';
import { clipNeedsGram, describeScheme, type WeightScheme } from './scheme.ts';

/** One constant to round, and every site that reads it: tied weights are rounded once. */
export interface WeightUnit {
  /** Name of the first site that reads it. */
  readonly name: string;
  readonly weight: Value;
  /** At least one; all see the constant as the same matrix. */
  readonly sites: readonly [Site, ...Site[]];
  readonly scheme: WeightScheme;
  readonly method: RoundingMethodName;
  /** Who chose the method: the recipe, or this tool ('auto'). */
  readonly chosenBy: 'recipe' | 'auto';
}

/** True when a method looks at the inputs of what it rounds. */
export const methodNeedsInputs = (method: RoundingMethodName): boolean => roundingMethods[method].needs !== 'nothing';

/** True when rounding this unit needs H. */
export const needsGram = (unit: WeightUnit): boolean =>
  methodNeedsInputs(unit.method) || clipNeedsGram(unit.scheme.clip);

/** True when rounding this unit needs G, T (or G instead), one of these, or B, too. */
export const needsPairs = (unit: WeightUnit): boolean => roundingMethods[unit.method].needs === 'pairs';
export const needsTarget = (unit: WeightUnit): boolean =>
  ['target', 'curvature'].includes(roundingMethods[unit.method].needs);
export const needsOriginal = (unit: WeightUnit): boolean => needsPairs(unit) || needsTarget(unit);
export const needsCurvature = (unit: WeightUnit): boolean => roundingMethods[unit.method].needs === 'curvature';

export interface WeightPlan {
  /** In execution order of their first sites. */
  readonly units: readonly WeightUnit[];
  /** Every other site of the program, with the reason. */
  readonly kept: ReadonlyMap<Site, string>;
  readonly sites: readonly Site[];
  readonly findings: readonly Finding[];
}

interface Wish {
  readonly scheme: Exclude<ReturnType<typeof allocatedScheme>, 'keep'>;
  readonly method: RoundingMethodName | 'auto';
}

/** What the options ask for a site: the first override that matches, over the common settings; or why it is kept. */
const wishFor = (site: Site, options: WeightOptions, matchers: readonly ((site: Site) => boolean)[]): Wish | string => {
  const override = options.overrides[matchers.findIndex((matches) => matches(site))];
  if (override?.weights === 'keep') return 'kept by an override';
  const scheme = allocatedScheme(site, { ...options.weights, ...override?.weights });
  if (scheme === 'keep') return 'no width is allocated to it';
  return { scheme, method: override?.method ?? options.method };
};

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

interface Decision extends Pick<WeightUnit, 'method' | 'chosenBy' | 'scheme'> {
  readonly findings: readonly Finding[];
}

/**
 * Why H of a constant's inputs is not to be had, if so. A constant that several sites read is rounded for the inputs of
 * all of them, so every one must have its H.
 */
const blindness = (sites: readonly Site[]): string | undefined => {
  const obstacles = sites.map(gramObstacle);
  return obstacles.find((obstacle) => obstacle !== undefined);
};

/** How a constant will really be rounded, with what has to be said about it. */
const decide = (sites: readonly Site[], wishes: readonly Wish[], calibrated: boolean): Decision => {
  const [site] = sites as readonly [Site, ...Site[]];
  const [{ scheme: request }] = wishes as readonly [Wish, ...Wish[]];
  const asked = new Set(wishes.map(({ method }) => method));
  const wanted = asked.size === 1 ? wishes[0]!.method : 'auto';
  const goal = wanted === 'auto' ? automaticMethod(request.bits, calibrated).method : wanted;
  const chosenBy = wanted === 'auto' ? 'auto' : 'recipe';
  const why = blindness(sites);
  const findings: Finding[] = [];
  const method = why !== undefined && methodNeedsInputs(goal) ? 'rtn' : goal;
  if (method !== goal)
    findings.push({
      // Nothing better exists for a lookup, whatever was asked for.
      kind: wanted === 'auto' || sites.some(({ op }) => op === 'Gather') ? 'fact' : 'fallback',
      site: site.name,
      text: `rounded to nearest instead of by ${goal}: ${why}`,
    });
  const usual = methodNeedsInputs(method) ? 'auto' : 'none';
  const clip = request.clip === 'usual' ? usual : request.clip;
  const scheme: WeightScheme = { ...request, clip };
  if (why === undefined || !clipNeedsGram(clip)) return { method, chosenBy, scheme, findings };
  findings.push({ kind: 'fallback', site: site.name, text: `clip: mse instead of ${clip}: ${why}` });
  return { method, chosenBy, scheme: { ...scheme, clip: 'mse' }, findings };
};

/** What 'auto' has chosen for each width, and why. */
const automaticFindings = (units: readonly WeightUnit[], calibrated: boolean): Finding[] => {
  const widths = new Set(units.filter(({ chosenBy }) => chosenBy === 'auto').map(({ scheme }) => scheme.bits));
  return [...widths].sort().map((bits) => {
    const { method, why } = automaticMethod(bits, calibrated);
    return { kind: 'fact', text: `${bits} bits by ${method}, the choice of auto: ${why}` };
  });
};

const supportedTypes: readonly string[] = ['float32', 'float16', 'bfloat16'];

/**
 * Decides what happens to every site, without reading a weight.
 * `calibrated`: whether calibration data will be there (what 'auto' depends on).
 * @throws CompressError 'recipe' for a pattern that is no regular expression, and for a model that is quantized already
 * unless the options allow it.
 */
export const planWeights = (program: Program, options: WeightOptions, calibrated: boolean): WeightPlan => {
  const sites = findSites(program);
  const selectors = options.overrides.map(({ match }) => compileSelector(match));
  const matchers = selectors.map((selector) => (site: Site) => selector.matches(site));
  const { chosen, kept: unselected, findings: selectionFindings } = selectSites(sites, options);
  const findings: Finding[] = [...selectionFindings, ...findUnmatched('overrides', selectors, sites)];
  const kept = new Map(unselected);
  const wishes = new Map<Site, Wish>();
  expectUnquantized(program, chosen, options.already);
  for (const site of chosen) {
    const wish = wishFor(site, options, matchers);
    const { dtype } = siteTensor(site);
    if (typeof wish === 'string') kept.set(site, wish);
    else if (isPacked(site) && options.already === 'keep') kept.set(site, 'its weights are integers already');
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
    const { findings: said, ...decided } = decide(members, wished, calibrated);
    findings.push(...said);
    units.push({ name: first.name, weight, sites: [first, ...rest], ...decided });
  }
  return { units, kept, sites, findings: [...findings, ...automaticFindings(units, calibrated)] };
};
