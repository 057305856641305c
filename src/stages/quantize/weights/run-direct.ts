import type { StageContext } from '../../stage.ts';
import type { RequestedSettings } from '../methods/method.ts';
import { type Piece, streamedPieces } from './pieces.ts';
import type { WeightUnit } from './plan.ts';
import { type RoundedUnit, UnitRounder } from './round-unit.ts';
import { groupSizeFor } from './scheme.ts';

/** What is told about each unit as soon as it is rounded. */
export type UnitDone = (unit: WeightUnit, rounded: RoundedUnit) => void;

/** Pieces of all units in order; the last one of each unit is marked. */
const piecesOf = function* (
  units: readonly WeightUnit[],
): Generator<{ unit: WeightUnit; piece: Piece; last: boolean }> {
  for (const unit of units) {
    const [site] = unit.sites;
    const pieces = streamedPieces(site, groupSizeFor(unit.scheme, site.columns));
    for (const [index, piece] of pieces.entries()) yield { unit, piece, last: index === pieces.length - 1 };
  }
};

/**
 * Rounds weights that need no data, one after the other; while a piece is rounded off the event loop, the next is read.
 * At most two pieces are in memory beside what is rounded already.
 */
export const roundDirectly = async (
  units: readonly WeightUnit[],
  settings: RequestedSettings,
  context: Pick<StageContext, 'signal'>,
  done: UnitDone,
): Promise<void> => {
  const work = piecesOf(units);
  const next = async (): Promise<
    { unit: WeightUnit; piece: Piece; last: boolean; weight: Float32Array } | undefined
  > => {
    const { value } = work.next();
    return value ? { ...value, weight: value.piece.read() } : undefined;
  };
  let rounder: UnitRounder | undefined;
  let current = await next();
  while (current) {
    const { unit, piece, last, weight } = current;
    rounder ??= new UnitRounder(unit, settings, context.signal);
    const [, following] = await Promise.all([rounder.round(piece, weight), next()]);
    if (last) {
      done(unit, rounder.finish());
      rounder = undefined;
    }
    current = following;
  }
};
