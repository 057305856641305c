import { measureCost } from '../../analysis/cost.ts';
import type { Dataset } from '../../calibration/dataset.ts';
import { CompressError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import type { StageContext } from '../stage.ts';
import { type Allocated, allocateBudget, choicesOf } from './allocation.ts';
import { type AnalysedUnit, analyse } from './analyse.ts';
import { type FormatChoice, formatFront, type Measure } from './budget.ts';
import { bytesIn, describeFormat, type Format, formatsOf, sameFormat } from './formats.ts';
import type { SensitivityOptions } from './options.ts';
import { predictors } from './predictors.ts';
import { recipeText } from './recipe-text.ts';
import type { ReportedOption, ReportedSite, ReportedUniform, SensitivityReport } from './report.ts';
import { selectUnits, type Unit } from './units.ts';

/** The report, and the formats that an allocation gives. */
export interface Sensitivity {
  readonly report: SensitivityReport;
  readonly formats: ReadonlyMap<Unit, Format>;
}

/**
 * How much every weight matters: what each format of each loses by the curvature, how that compares with what is
 * measured, and which formats a budget buys.
 * @throws 'mismatch' when nothing is left to look at, or when not even the smallest formats keep within the budget.
 */
export const findSensitivity = async (
  program: Program,
  dataset: Dataset,
  options: SensitivityOptions,
  context: StageContext,
): Promise<Sensitivity> => {
  const { units, findings: selected } = selectUnits(program, options);
  if (units.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: 'there is no floating-point weight among the targets whose width could be chosen',
      hint: 'Look at the sites with `compress inspect`, and at targets and ignore.',
    });
  const request = { program, dataset, units, options, context };
  const analysis = await analyse(request);
  const choices = choicesOf(request, analysis);
  const allocated = options.budget ? await allocateBudget(request, analysis, choices, options.budget) : undefined;
  const measure = allocated?.report.measure ?? 'bytes';
  const { verified } = analysis;
  const assignment = allocated && assignmentOf(allocated);
  return {
    formats: allocated?.formats ?? new Map(),
    report: {
      sites: analysis.units.map((one) => reportedSite(one, options, allocated)),
      uniform: uniformOf(choices, options, units),
      front: { measure, points: frontOf(choices, measure) },
      correlations: analysis.correlations,
      ...(verified
        ? {
            sums: {
              predicted: verified.predicted,
              measured: verified.measured,
              format: describeFormat(verified.format),
            },
          }
        : {}),
      ...(allocated ? { allocation: allocated.report } : {}),
      ...(assignment ? { recipe: recipeText(assignment, options) } : {}),
      findings: [...selected, ...analysis.findings, ...allocationFinding(program, units, options, allocated)],
    },
  };
};

const assignmentOf = ({ formats }: Allocated): Map<string, Format> =>
  new Map([...formats].flatMap(([{ sites }, format]) => sites.map((site): [string, Format] => [site.name, format])));

const reportedSite = (
  one: AnalysedUnit,
  options: SensitivityOptions,
  allocated: Allocated | undefined,
): ReportedSite => {
  const { unit, assessed, losses, extra, measured } = one;
  const [site, ...others] = unit.sites;
  const chosen = allocated?.formats.get(unit);
  return {
    site: site.name,
    op: site.op,
    ...(site.role === undefined ? {} : { role: site.role }),
    ...(site.block === undefined ? {} : { block: site.block }),
    rows: site.rows,
    columns: site.columns,
    ...(others.length === 0 ? {} : { shared_with: others.map(({ name }) => name) }),
    options: assessed.map(({ format, facts }, index): ReportedOption => {
      const nats = [...measured].find(([known]) => sameFormat(known, format))?.[1];
      const scores = options.predictors.flatMap((name): [string, number][] => {
        const score = predictors[name].score({ ...facts, ...extra });
        return score === undefined ? [] : [[name, score]];
      });
      return {
        format: describeFormat(format),
        bits: format.bits,
        group_size: format.groupSize,
        bytes: bytesIn(unit, format, options.grid),
        loss: losses[index]!,
        ...(nats === undefined ? {} : { measured: nats }),
        predicted: Object.fromEntries(scores),
      };
    }),
    ...(chosen ? { chosen: describeFormat(chosen) } : {}),
  };
};

const uniformOf = (
  choices: readonly FormatChoice[],
  options: SensitivityOptions,
  units: readonly Unit[],
): ReportedUniform[] => {
  const elements = units.reduce((sum, unit) => sum + unit.elements, 0);
  return formatsOf(options).map((format, index) => {
    const sum = (of: (option: FormatChoice['options'][number]) => number): number =>
      choices.reduce((all, choice) => all + of(choice.options[index]!), 0);
    return {
      format: describeFormat(format),
      average_bits: sum(({ bits }) => bits) / elements,
      bytes: sum(({ bytes }) => bytes),
      loss: sum(({ loss }) => loss),
    };
  });
};

/** Points of a plot at most: enough for a smooth line. */
const mostPoints = 200;

const frontOf = (choices: readonly FormatChoice[], measure: Measure): { cost: number; loss: number }[] => {
  const points = formatFront(choices, measure);
  const step = Math.max(1, Math.ceil(points.length / mostPoints));
  return points.filter((_, index) => index % step === 0 || index === points.length - 1);
};

/** What the allocation comes to, in bits and in bytes: 3-bit codes take as much room as 4-bit ones. */
const allocationFinding = (
  program: Program,
  units: readonly Unit[],
  options: SensitivityOptions,
  allocated: Allocated | undefined,
): SensitivityReport['findings'] => {
  if (!allocated) return [];
  const before = units.reduce((sum, { bytes }) => sum + bytes, 0);
  const { storedBytes } = measureCost(program);
  const after = storedBytes - before + allocated.report.bytes;
  const facts = { bytes_before: storedBytes, bytes_after: after, average_bits: allocated.report.average_bits };
  const threes = [...allocated.formats.values()].filter(({ bits }) => bits === 3).length;
  const stored = threes > 0 && options.budget?.kind === 'average-bits';
  return [
    {
      kind: 'fact',
      text: `${allocated.report.average_bits.toFixed(2)} bits a weight, predicted loss ${allocated.report.loss.toPrecision(3)} nats, ${after} of ${storedBytes} bytes${stored ? `; ${threes} weights of 3 bits are stored in 4` : ''}`,
      facts,
    },
  ];
};
