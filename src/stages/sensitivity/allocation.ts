import type { Site } from '../../analysis/sites.ts';
import { takeSamples } from '../../calibration/dataset.ts';
import { withJointDivergence } from '../../curvature/measured.ts';
import { internalError } from '../../errors.ts';
import type { AnalyseRequest, Analysis } from './analyse.ts';
import { allocateFormats, choiceOf, type FormatChoice, type Limit, limitOf } from './budget.ts';
import { type Format, formatsOf, sameFormat } from './formats.ts';
import type { Budget } from './options.ts';
import type { ReportedAllocation } from './report.ts';
import { roundingOf } from './rounding.ts';
import { type SearchResult, searchExchanges } from './search.ts';
import { tiedUnits } from './ties.ts';
import type { Unit } from './units.ts';

/** Units that are tied, with what each format costs and loses. */
export const choicesOf = ({ program, units, options }: AnalyseRequest, analysis: Analysis): FormatChoice[] => {
  const formats = formatsOf(options);
  const losses = new Map(analysis.units.map(({ unit, assessed, losses }) => [unit, { assessed, losses }]));
  const lossOf = (unit: Unit, format: Format): number => {
    const known = losses.get(unit)!;
    return known.losses[known.assessed.findIndex((one) => sameFormat(one.format, format))]!;
  };
  const facts = { grid: options.grid, lossOf, multiplicationsOf: analysis.multiplicationsOf };
  return tiedUnits(program, units, options.ties).map((tied) => choiceOf(tied, formats, facts));
};

export interface Allocated {
  readonly formats: ReadonlyMap<Unit, Format>;
  readonly report: ReportedAllocation;
}

/** Chooses a format for every unit within a budget, then searches exchanges on the measured divergence. */
export const allocateBudget = async (
  request: AnalyseRequest,
  analysis: Analysis,
  choices: readonly FormatChoice[],
  budget: Budget,
): Promise<Allocated> => {
  const { program, options } = request;
  const limit = limitOf(budget, program, choices, analysis.multiplicationsOf);
  const start = allocateFormats(choices, limit);
  const searched = options.search ? await search(request, analysis, choices, start, limit) : undefined;
  const picks = searched?.picks ?? start;
  const taken = choices.map((choice, index) => choice.options[picks[index]!]!);
  const sum = (of: (option: (typeof taken)[number]) => number): number => taken.reduce((all, one) => all + of(one), 0);
  const elements = request.units.reduce((all, unit) => all + unit.elements, 0);
  const formats = new Map(
    choices.flatMap(({ units }, index) => units.map((unit): [Unit, Format] => [unit, taken[index]!.format])),
  );
  const { measure, most, mostLoss } = limit;
  const stated = most ?? mostLoss;
  return {
    formats,
    report: {
      measure,
      ...(stated === undefined ? {} : { limit: stated }),
      cost: sum((option) => option[measure]),
      average_bits: sum(({ bits }) => bits) / Math.max(1, elements),
      bytes: sum(({ bytes }) => bytes),
      loss: sum(({ loss }) => loss),
      ...(searched
        ? { measured: { before: searched.before, after: searched.after, tried: searched.tried, taken: searched.taken } }
        : {}),
    },
  };
};

const search = async (
  { program, dataset, units, options, context }: AnalyseRequest,
  { curvature }: Analysis,
  choices: readonly FormatChoice[],
  start: readonly number[],
  limit: Limit,
): Promise<SearchResult> => {
  const { tries, samples } = options.search!;
  const siteOf = new Map<Unit, Site>(units.map((unit) => [unit, unit.sites[0]]));
  const rounded = new Map<Unit, { readonly format: Format; readonly matrix: Float32Array }>();
  const matrixOf = async (unit: Unit, format: Format): Promise<Float32Array> => {
    const known = rounded.get(unit);
    if (known && sameFormat(known.format, format)) return known.matrix;
    const site = siteOf.get(unit)!;
    const matrix = await roundingOf(unit, curvature?.sites.get(site.name), options, context.signal).round(format);
    rounded.set(unit, { format, matrix });
    return matrix;
  };
  let result: SearchResult | undefined;
  let done = 0;
  await withJointDivergence(
    { program, dataset: takeSamples(dataset, samples), context, sites: [...siteOf.values()] },
    async (divergence) => {
      // With a limited loss the cheapest model is wanted, which no exchange at equal cost makes better.
      const allowed = limit.mostLoss === undefined ? tries : 0;
      result = await searchExchanges(choices, start, limit, allowed, async (picks) => {
        const matrices = new Map<Site, Float32Array>();
        for (const [index, { units: tied, options: list }] of choices.entries())
          for (const unit of tied) matrices.set(siteOf.get(unit)!, await matrixOf(unit, list[picks[index]!]!.format));
        const nats = await divergence(matrices);
        context.emit({ type: 'progress', task: 'exchanging widths', done: done++, total: allowed, unit: 'tries' });
        return nats;
      });
    },
  );
  if (!result) throw internalError('the search had no block to begin with');
  return result;
};
