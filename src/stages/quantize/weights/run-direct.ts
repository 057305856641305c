import type { StageContext } from '../../stage.ts';
import type { WeightOptions } from '../options.ts';
import type { WeightUnit } from './plan.ts';
import { type RoundedUnit, readUnit, roundUnit } from './round-unit.ts';

/** What is told about each unit as soon as it is rounded. */
export type UnitDone = (unit: WeightUnit, rounded: RoundedUnit) => void;

/**
 * Rounds weights that need no data, one after the other; while one is rounded off the event loop, the next is read.
 * At most two matrices are in memory.
 */
export const roundDirectly = async (
  units: readonly WeightUnit[],
  options: WeightOptions,
  context: Pick<StageContext, 'signal'>,
  done: UnitDone,
): Promise<void> => {
  const read = async (unit: WeightUnit | undefined): Promise<Float32Array | undefined> => unit && readUnit(unit);
  let ready = await read(units[0]);
  for (const [index, unit] of units.entries()) {
    const rounding = roundUnit(unit, ready!, { grams: [], settings: options.settings, signal: context.signal });
    const [rounded, following] = await Promise.all([rounding, read(units[index + 1])]);
    ready = following;
    done(unit, rounded);
  }
};
