import { internalError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { routingFindings } from '../routing-findings.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { withFormats } from './leave-formats.ts';
import type { SensitivityOptions } from './options.ts';
import type { SensitivityReport } from './report.ts';
import { findSensitivity } from './sensitivity.ts';

/**
 * Leaves on a copy of the model the widths that a budget buys (`weights: { bits: auto }` of the quantize stage reads
 * them); the weights stay as they are. Without a budget the model is only reported on.
 * @throws as `findSensitivity`.
 */
export const runSensitivity = async (
  model: Model,
  options: SensitivityOptions,
  context: StageContext,
): Promise<StageResult> => {
  const { calibration, emit } = context;
  if (!calibration) throw internalError('sensitivity was run without data');
  const found = await findSensitivity(model.program, calibration, options, context);
  for (const { site, options: formats, chosen } of found.report.sites) {
    const losses = formats.map(({ format, loss }): [string, number] => [`loss ${format}`, loss]);
    const facts = { ...Object.fromEntries(losses), ...(chosen === undefined ? {} : { chosen }) };
    emit({ type: 'site-finished', stage: 'sensitivity', site, facts });
  }
  return {
    model: { ...model, program: withFormats(model.program, found.formats) },
    findings: [...findingsOf(found.report), ...(await routingFindings(model.program, calibration, context))],
  };
};

const threePlaces = (value: number): string => value.toFixed(3);

const findingsOf = ({ findings, correlations, sums, allocation, recipe }: SensitivityReport): Finding[] => [
  ...findings,
  ...correlations.map(
    ({ predictor, correlation, sites }): Finding => ({
      kind: 'fact',
      text: `${predictor} orders ${sites} weights like the measured divergence: rank correlation ${threePlaces(correlation)}`,
      facts: { predictor, correlation, sites },
    }),
  ),
  ...(sums
    ? [
        {
          kind: 'fact' as const,
          text: `${sums.format}, each weight alone: ${sums.predicted.toPrecision(3)} nats predicted in all, ${sums.measured.toPrecision(3)} measured`,
          facts: { predicted: sums.predicted, measured: sums.measured },
        },
      ]
    : []),
  ...(allocation?.measured
    ? [
        {
          kind: 'fact' as const,
          text: `all weights together, rounded alone: ${allocation.measured.before.toPrecision(3)} nats measured, ${allocation.measured.after.toPrecision(3)} after ${allocation.measured.taken} of ${allocation.measured.tried} exchanges`,
          facts: { ...allocation.measured },
        },
      ]
    : []),
  ...(recipe === undefined
    ? []
    : [
        {
          kind: 'fact' as const,
          text: 'the allocation as a recipe is among the facts of this finding',
          facts: { recipe },
        },
      ]),
];
