import type { Curvature } from '../../curvature/moments.ts';
import { type ChangeMeter, changeMeter } from '../../curvature/predict.ts';
import type { StageContext } from '../stage.ts';
import { type Format, formatsOf } from './formats.ts';
import type { SensitivityOptions } from './options.ts';
import type { ChangeFacts } from './predictors.ts';
import { roundingOf } from './rounding.ts';
import type { Unit } from './units.ts';

/** What storing a unit in a format does to it. */
export type FormatFacts = Omit<ChangeFacts, 'hessianTrace' | 'topEigenvalue' | 'blockInfluence' | 'learned'>;

/** A format of a unit with its facts. */
export interface AssessedFormat {
  readonly format: Format;
  readonly facts: FormatFacts;
}

const energy = (x: Float32Array): number => {
  let sum = 0;
  for (let index = 0; index < x.length; index++) sum += x[index]! ** 2;
  return sum;
};

/** Sums over the sites that share a constant; undefined as soon as one of them does not know. */
const total = (parts: readonly (number | undefined)[]): number | undefined =>
  parts.length > 0 && parts.every((part) => part !== undefined)
    ? parts.reduce((sum, part) => sum + part, 0)
    : undefined;

/** Rounds a unit to every format and measures each change by the curvature. */
export const assessUnit = async (
  unit: Unit,
  curvature: Curvature | undefined,
  options: SensitivityOptions,
  { signal }: Pick<StageContext, 'signal'>,
): Promise<AssessedFormat[]> => {
  const known = unit.sites.map(({ name }) => curvature?.sites.get(name));
  const { weight, round } = roundingOf(unit, known[0], options, signal);
  const meters = known.map((site): ChangeMeter | undefined => site && changeMeter(site));
  const measure = (delta: Float32Array) => Promise.all(meters.map((meter) => meter?.(delta)));
  const whole = await measure(weight);
  const assessed: AssessedFormat[] = [];
  for (const format of formatsOf(options)) {
    const rounded = await round(format);
    const delta = rounded.map((value, index) => value - weight[index]!);
    const measured = await measure(delta);
    assessed.push({
      format,
      facts: {
        weightError: energy(delta),
        weightEnergy: energy(weight),
        outputError: total(measured.map((found) => found?.outputError)),
        outputEnergy: total(whole.map((found) => found?.outputError)),
        weightedOutputError: total(measured.map((found) => found?.weightedOutputError)),
        loss: total(measured.map((found) => found?.loss)),
        elements: unit.elements,
      },
    });
  }
  return assessed;
};
