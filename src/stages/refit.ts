import { findSites, type Site } from '../analysis/sites.ts';
import { type RefitOptions, type RefitRecord, refitProgram } from '../curvature/refit-walk.ts';
import { internalError } from '../errors.ts';
import type { Program } from '../ir/graph.ts';
import type { Finding } from '../recipe/events.ts';
import { percent } from './percent.ts';
import { selectSites } from './select-sites.ts';
import type { StageContext } from './stage.ts';

/** What a stage decides about a refit; data, memory and the rest are those of its context. */
export type RefitRequest = Pick<
  RefitOptions,
  'program' | 'original' | 'ridge' | 'scope' | 'factored' | 'wanted' | 'checkpointKey'
>;

/** What the report says about a refit: how much of what was missing the corrections made good. */
const findingsOf = (records: readonly RefitRecord[]): Finding[] => {
  const changed = records.filter(({ errorBefore, errorAfter }) => errorAfter < errorBefore);
  if (changed.length === 0) return [];
  const mean = (of: (record: RefitRecord) => number): number =>
    changed.reduce((sum, record) => sum + of(record), 0) / changed.length;
  const [before, after] = [mean(({ errorBefore }) => errorBefore), mean(({ errorAfter }) => errorAfter)];
  return [
    {
      kind: 'fact',
      text: `${changed.length} of ${records.length} products corrected against the original: mean error of what they write to: ${percent(before)} → ${percent(after)}`,
      facts: { corrected: changed.length, error_before: before, error_after: after },
    },
  ];
};

/**
 * Corrects a program that a stage has changed against the original, on the stage's calibration data, in place.
 * @throws as `refitProgram`.
 */
export const refit = async (request: RefitRequest, context: StageContext): Promise<Finding[]> => {
  const { calibration, engine, checkpoints, maxMemoryBytes, scratch, emit, signal } = context;
  if (!calibration) throw internalError('a refit was started without calibration data');
  const surroundings = { dataset: calibration, engine, checkpoints, maxMemoryBytes, scratch, emit, signal };
  return findingsOf(await refitProgram({ ...request, ...surroundings }));
};

/** Whether a refit may touch a site: those of the original that the patterns of a stage choose, by their outputs. */
export const chosenSites = (
  original: Program,
  patterns: Parameters<typeof selectSites>[1],
): ((site: Site) => boolean) => {
  const names = new Set(selectSites(findSites(original), patterns).chosen.map(({ output }) => output.name));
  return ({ output }) => names.has(output.name);
};
