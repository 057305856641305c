import { readSiteMatrix } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import type { Dataset } from '../../calibration/dataset.ts';
import { CompressError } from '../../errors.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { type MeasureContext, measureVariants } from '../measured.ts';
import { predictLoss } from '../predict.ts';
import { outputReadings } from '../readings.ts';
import { carriedOutputs } from '../steps.ts';
import { type CurvatureRequest, curvatureOf } from '../store.ts';
import { type Correspondence, correspondingSites, type SitePair, type SiteUnit } from './correspond.ts';
import { type KeptSites, keepFor } from './keep.ts';
import { factorTensor } from './scales.ts';
import { causedBy, standardError } from './shares.ts';
import { compareValues, type ValueError } from './signal.ts';
import { VariantPlaces, withSameOperators } from './variant.ts';

/** How the part of a site is found: by running the model with one site changed at a time, or by the curvature alone. */
export type AttributionMethod = 'measured' | 'curvature';

export interface AttributionRequest {
  /** The model that the other is held against, and the other; quantized weights as packed constants. */
  readonly first: Program;
  readonly second: Program;
  readonly dataset: Dataset;
  readonly context: MeasureContext & CurvatureRequest['context'];
  /** 'auto': measured, unless the model is so large that it takes too long. */
  readonly by: AttributionMethod | 'auto';
  /** Share of the divergence that higher precision is to take away; undefined: none is looked for. */
  readonly gain: number | undefined;
}

/** What is known of one weight of the first program. Losses are in nats an item. */
export interface AttributedUnit {
  readonly unit: SiteUnit;
  /** Divergence with this weight alone changed, and what falls off the whole when it alone is restored. */
  readonly alone: number | undefined;
  readonly restored: number | undefined;
  /** What it causes of the whole; undefined where the curvature does not know it. */
  readonly caused: number | undefined;
  /** Standard error of that over the samples; undefined where it was predicted, or for a single sample. */
  readonly error: number | undefined;
}

export interface Attribution {
  readonly by: AttributionMethod;
  readonly samples: number;
  /** Divergence of the second program from the first, in nats an item; with every compared weight restored. */
  readonly divergence: number;
  readonly remaining: number;
  readonly units: readonly AttributedUnit[];
  /** Error of the output of every site that both programs have, in execution order. */
  readonly along: readonly { readonly pair: SitePair; readonly error: ValueError | undefined }[];
  readonly correspondence: Correspondence;
  readonly kept: KeptSites | undefined;
}

/** Products of parameters, weights and samples beyond which one site at a time takes minutes. */
const mostWork = 2e10;

const methodFor = ({ by, first, dataset }: AttributionRequest, units: number): AttributionMethod => {
  if (by !== 'auto') return by;
  const parameters = findSites(first).reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  return parameters * units * dataset.length > mostWork ? 'curvature' : 'measured';
};

/** @throws CompressError 'mismatch' where the two have no products in common. */
const checkComparable = ({ changed, same, unmatched }: Correspondence): void => {
  if (changed.length > 0 || same.length > 0) return;
  const [first] = unmatched;
  throw new CompressError({
    code: 'mismatch',
    message: first
      ? `none of the ${unmatched.length} weight products of the first model is found in the second: ${first.site.name}: ${first.reason}`
      : 'the first model has no weight products',
    hint: 'Errors can be followed where one model was made from the other: values keep their names then.',
  });
};

/** The second program's matrix (rows, columns) of a site as it would be between values in the first's units. */
const inFirstUnits = (matrix: Float32Array, site: Site, errors: ReadonlyMap<string, ValueError>): Float32Array => {
  const factorsOf = (value: Value, count: number): Float64Array | undefined => {
    const factors = errors.get(value.name)?.scale?.factors;
    return factors?.length === count ? factors : undefined;
  };
  const [made, read] = [factorsOf(site.output, site.rows), factorsOf(site.input, site.columns)];
  if (!made && !read) return matrix;
  return matrix.map((value, index) => {
    const [row, column] = [Math.floor(index / site.columns), index % site.columns];
    return (value * (read?.[column] ?? 1)) / (made?.[row] ?? 1);
  });
};

/** Differences of weights by the curvature: ½ tr(B ΔW A ΔWᵀ) of each, as if it were the only change. */
const predicted = async (
  { first, dataset, context }: AttributionRequest,
  units: readonly SiteUnit[],
  errors: ReadonlyMap<string, ValueError>,
): Promise<AttributedUnit[]> => {
  const names = new Set(units.flatMap(({ pairs }) => pairs.map(({ site }) => site.name)));
  const curvature = await curvatureOf({ program: first, dataset, context, wanted: ({ name }) => names.has(name) });
  const lossOf = async ({ site, packed }: SitePair): Promise<number | undefined> => {
    const known = curvature.sites.get(site.name);
    if (!known || !packed) return undefined;
    const before = readSiteMatrix(site);
    const after = inFirstUnits(packed.matrix(), site, errors);
    return predictLoss(
      known,
      after.map((value, index) => value - before[index]!),
    );
  };
  const found: AttributedUnit[] = [];
  for (const unit of units) {
    const losses = await Promise.all(unit.pairs.map(lossOf));
    const known = losses.filter((loss) => loss !== undefined);
    const caused = known.length > 0 ? known.reduce((sum, loss) => sum + loss, 0) : undefined;
    found.push({ unit, alone: undefined, restored: undefined, caused, error: undefined });
  }
  return found;
};

/** Names of what the products of pairs compute, and of the floats that they read. */
const comparedValues = (pairs: readonly SitePair[]): string[] => {
  const isFloat = ({ type, producer }: Value): boolean =>
    producer !== undefined && type?.kind === 'tensor' && type.dtype === 'float32';
  const reads = pairs.flatMap(({ first, second }) => [...first.reads, ...second.reads].filter(isFloat));
  return [...new Set([...pairs.map(({ site }) => site.output), ...reads].map(({ name }) => name))];
};

/**
 * Follows the divergence of one program from another back to the weight products that cause it.
 * @throws CompressError 'mismatch' where the two have no products in common, or no outputs of the same names.
 */
export const attributeDivergence = async (given: AttributionRequest): Promise<Attribution> => {
  const [first, second] = withSameOperators(given.first, given.second);
  const request = { ...given, first, second };
  const { dataset, context, gain } = request;
  const correspondence = correspondingSites(first, second);
  checkComparable(correspondence);
  const { changed, same } = correspondence;
  const readings = outputReadings(first, await carriedOutputs(dataset));
  const outputs = new Set(readings.map(({ value }) => value.name));
  const missing = [...outputs].find((name) => !second.graph.outputs.some((output) => output.name === name));
  if (missing !== undefined)
    throw new CompressError({
      code: 'mismatch',
      message: `the second model has no output ${missing}`,
      hint: 'Divergences are taken between outputs of the same names.',
    });
  const by = methodFor(request, changed.length);
  const pairs = [...same, ...changed.flatMap((unit) => unit.pairs)];
  const errors = await compareValues({ first, second }, comparedValues(pairs), dataset, context);
  const factors = (name: string, direction: 'forth' | 'back') => {
    const scale = errors.get(name)?.scale;
    return scale && factorTensor(scale, direction);
  };
  const inFirst = new VariantPlaces(first, outputs, {
    read: (name) => factors(name, 'forth'),
    made: (name) => factors(name, 'back'),
  });
  const inSecond = new VariantPlaces(second, outputs, {
    read: (name) => factors(name, 'back'),
    made: (name) => factors(name, 'forth'),
  });
  const whole = { program: second, reference: first, dataset, context, blocks: inSecond.blocks };
  const restoring = ({ pairs }: SiteUnit) => pairs.map((pair) => ({ region: pair.first }));
  const changing = ({ pairs }: SiteUnit) => pairs.map((pair) => ({ region: pair.second }));
  const one = by === 'measured' ? changed : [];
  const left = await measureVariants({
    ...whole,
    variants: [
      inSecond.variant('', []),
      inSecond.variant('all', changed.flatMap(restoring)),
      ...one.map((unit) => inSecond.variant(`without ${unit.name}`, restoring(unit))),
    ],
  });
  const present = left.get('')!;
  const divergence = present.nats;
  const alone = await measureVariants({
    ...{ program: first, reference: first, dataset, context, blocks: inFirst.blocks },
    variants: one.map((unit) => inFirst.variant(unit.name, changing(unit))),
  });
  const units =
    by === 'curvature'
      ? await predicted(request, changed, errors)
      : changed.map((unit): AttributedUnit => {
          const [one, without] = [alone.get(unit.name)!, left.get(`without ${unit.name}`)!];
          const part = { alone: one.nats, restored: divergence - without.nats };
          const runs = one.runs.map((nats, run) =>
            causedBy({ alone: nats, restored: present.runs[run]! - without.runs[run]! }),
          );
          return { unit, ...part, caused: causedBy(part), error: standardError(runs) };
        });
  const position = new Map(findSites(first).map(({ name }, index) => [name, index]));
  const along = pairs
    .sort((a, b) => position.get(a.site.name)! - position.get(b.site.name)!)
    .map((pair) => ({ pair, error: errors.get(pair.site.output.name) }));
  const measureWith = async (replacements: Parameters<VariantPlaces['variant']>[1]): Promise<number> =>
    divergence -
    (await measureVariants({ ...whole, variants: [inSecond.variant('kept', replacements)] })).get('kept')!.nats;
  const kept =
    gain === undefined || units.length === 0 || divergence <= 0
      ? undefined
      : await keepFor({ units, wanted: gain * divergence, divergence, signal: context.signal }, measureWith);
  return {
    by,
    samples: dataset.length,
    divergence,
    remaining: left.get('all')!.nats,
    units,
    along,
    correspondence,
    kept,
  };
};
