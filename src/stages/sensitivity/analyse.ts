import { type Dataset, takeSamples } from '../../calibration/dataset.ts';
import { type Curvature, positionsPerItem } from '../../curvature/moments.ts';
import { rankCorrelation } from '../../curvature/rank-correlation.ts';
import { curvatureOf } from '../../curvature/store.ts';
import { CompressError, formatError, internalError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import type { StageContext } from '../stage.ts';
import { type ExtraFacts, extraFacts } from './extra-facts.ts';
import { type Format, formatsOf, sameFormat } from './formats.ts';
import { type AssessedFormat, assessUnit } from './losses.ts';
import { changeName, measureChanges, type UnitChange } from './measure.ts';
import type { SensitivityOptions } from './options.ts';
import { type PredictorName, predictors } from './predictors.ts';
import type { ReportedCorrelation } from './report.ts';
import type { Unit } from './units.ts';

/** What is known of the formats of one unit. */
export interface AnalysedUnit {
  readonly unit: Unit;
  readonly assessed: readonly AssessedFormat[];
  readonly extra: ExtraFacts;
  /** Loss in nats an item of each format, as far as it is known; in the order of `assessed`. */
  readonly losses: readonly number[];
  /** Measured divergences by format. */
  readonly measured: ReadonlyMap<Format, number>;
}

export interface Analysis {
  readonly units: readonly AnalysedUnit[];
  readonly correlations: readonly ReportedCorrelation[];
  readonly verified: { readonly predicted: number; readonly measured: number; readonly format: Format } | undefined;
  readonly curvature: Curvature | undefined;
  /** Multiplications an item. */
  multiplicationsOf(unit: Unit): number;
  readonly findings: readonly Finding[];
}

export interface AnalyseRequest {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly units: readonly Unit[];
  readonly options: SensitivityOptions;
  readonly context: StageContext;
}

/** Samples that a loss is measured on where the curvature does not know it and nothing else is said. */
const fallbackSamples = 16;

/** Finds out what every format of every unit loses. */
export const analyse = async (request: AnalyseRequest): Promise<Analysis> => {
  const { program, dataset, units, options, context } = request;
  const findings: Finding[] = [];
  const curvature = await curvatureIfAny(request, findings);
  const assessed = new Map<Unit, AssessedFormat[]>();
  for (const unit of units) {
    assessed.set(unit, await assessUnit(unit, curvature, options, context));
    const progress = { task: 'predicting losses', done: assessed.size, total: units.length, unit: 'weights' };
    context.emit({ type: 'progress', ...progress, item: unit.name });
  }
  const formats = formatsOf(options);
  const reference = referenceFormat(options, formats);
  const samples = takeSamples(dataset, options.verify?.samples ?? fallbackSamples);
  const measure = (changes: readonly UnitChange[]) =>
    measureChanges(changes, { program, samples, calibration: dataset, curvature, options, context });
  const blind = units.filter((unit) => assessed.get(unit)!.some(({ facts }) => facts.loss === undefined));
  const changes = wantedChanges(request, formats, reference, blind);
  const measured = changes.length > 0 ? await measure(changes) : new Map<string, number>();
  const extras = await extraFacts(request, findings);
  const analysed = units.map((unit): AnalysedUnit => {
    const list = assessed.get(unit)!;
    const known = new Map<Format, number>();
    for (const format of formats) {
      const nats = measured.get(changeName({ unit, format }));
      if (nats !== undefined) known.set(format, nats);
    }
    return {
      unit,
      assessed: list,
      extra: extras.of(unit),
      losses: lossesOf(list, known, reference, options),
      measured: known,
    };
  });
  for (const unit of blind)
    findings.push({
      kind: 'fact',
      site: unit.name,
      text: 'no gradient or second moment is to be had here: its losses follow the divergence measured at one width',
    });
  const multiplicationsOf = (unit: Unit): number =>
    unit.sites.reduce((sum, site) => {
      if (site.op === 'Gather') return sum;
      const known = curvature?.sites.get(site.name);
      return sum + unit.elements * (known ? positionsPerItem(known) : 1);
    }, 0);
  return { units: analysed, curvature, multiplicationsOf, findings, ...verify(analysed, options, reference) };
};

/** The curvature, or undefined with a finding where it cannot be had. */
const curvatureIfAny = async (
  { program, dataset, units, context }: AnalyseRequest,
  findings: Finding[],
): Promise<Curvature | undefined> => {
  const names = new Set(units.flatMap(({ sites }) => sites.map(({ name }) => name)));
  try {
    return await curvatureOf({ program, dataset, context, wanted: ({ name }) => names.has(name) });
  } catch (error) {
    if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
    findings.push({
      kind: 'fallback',
      text: `losses follow the divergence measured at one width, since the curvature cannot be had: ${formatError(error)}`,
    });
    return undefined;
  }
};

/** The format that sites are measured and compared at. */
const referenceFormat = ({ verify, bits }: SensitivityOptions, formats: readonly Format[]): Format => {
  const widths = bits.filter((width) => width !== 'none');
  const wanted = verify?.bits ?? widths[Math.floor((widths.length - 1) / 2)];
  const found = formats.find((format) => format.bits === wanted) ?? formats[0];
  if (!found) throw internalError('there is no format to choose');
  return found;
};

/** At most `most` of a list, evenly spread. */
const spread = <Item>(list: readonly Item[], most: number | 'all'): Item[] => {
  if (most === 'all' || most >= list.length) return [...list];
  return Array.from({ length: most }, (_, index) => list[Math.floor((index * list.length) / most)]!);
};

const wantedChanges = (
  { units, options }: AnalyseRequest,
  formats: readonly Format[],
  reference: Format,
  blind: readonly Unit[],
): UnitChange[] => {
  const coded = formats.filter(({ bits }) => bits !== 'none');
  if (options.by === 'measured') return units.flatMap((unit) => coded.map((format) => ({ unit, format })));
  const chosen = new Set([...blind, ...(options.verify ? spread(units, options.verify.sites) : [])]);
  return units.filter((unit) => chosen.has(unit)).map((unit) => ({ unit, format: reference }));
};

/**
 * The loss of each format: measured where the allocation goes by that, else predicted. Without a gradient, B = b·I
 * with b from the divergence measured at one width: the loss grows with the error of the output (of the weights where
 * the inputs are not known either).
 */
const lossesOf = (
  assessed: readonly AssessedFormat[],
  measured: ReadonlyMap<Format, number>,
  reference: Format,
  { by }: SensitivityOptions,
): number[] => {
  const at = assessed.find(({ format }) => sameFormat(format, reference))!;
  const errorOf = ({ facts }: AssessedFormat): number => facts.outputError ?? facts.weightError;
  const anchor = [...measured].find(([format]) => sameFormat(format, reference))?.[1];
  return assessed.map((one) => {
    if (one.format.bits === 'none') return 0;
    const own = [...measured].find(([format]) => sameFormat(format, one.format))?.[1];
    if (by === 'measured' && own !== undefined) return own;
    if (one.facts.loss !== undefined) return one.facts.loss;
    const error = errorOf(at);
    return anchor === undefined || error <= 0 ? 0 : (anchor * errorOf(one)) / error;
  });
};

/** How well every predictor orders the units that were measured at the reference format. */
const verify = (
  units: readonly AnalysedUnit[],
  options: SensitivityOptions,
  reference: Format,
): Pick<Analysis, 'correlations' | 'verified'> => {
  if (!options.verify) return { correlations: [], verified: undefined };
  const seen = units.flatMap((one) => {
    const nats = [...one.measured].find(([format]) => sameFormat(format, reference))?.[1];
    const facts = one.assessed.find(({ format }) => sameFormat(format, reference))!.facts;
    return nats === undefined ? [] : [{ nats, facts: { ...facts, ...one.extra } }];
  });
  const correlations = options.predictors.flatMap((predictor: PredictorName): ReportedCorrelation[] => {
    const pairs = seen.flatMap(({ nats, facts }) => {
      const score = predictors[predictor].score(facts);
      return score === undefined ? [] : [[score, nats] as const];
    });
    if (pairs.length < 3) return [];
    const correlation = rankCorrelation(
      pairs.map(([score]) => score),
      pairs.map(([, nats]) => nats),
    );
    return Number.isNaN(correlation) ? [] : [{ predictor, correlation, sites: pairs.length }];
  });
  const both = seen.filter(({ facts }) => facts.loss !== undefined);
  const verified = {
    format: reference,
    predicted: both.reduce((sum, { facts }) => sum + facts.loss!, 0),
    measured: both.reduce((sum, { nats }) => sum + nats, 0),
  };
  return { correlations, verified: both.length > 0 ? verified : undefined };
};
