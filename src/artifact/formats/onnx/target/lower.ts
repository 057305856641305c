import { setConstant } from '../../../../ir/edit/replace.ts';
import type { Program } from '../../../../ir/graph.ts';
import type { Finding } from '../../../../recipe/events.ts';
import { packedConstants, widenToFourBits } from '../lower/packed.ts';
import type { LoweringReport } from '../lower/report.ts';
import { checkTarget } from './check.ts';
import { storeConvolutionsUnsigned } from './signed-convolutions.ts';
import { newestTarget, type Target } from './target.ts';

/** Stores 2-bit codes in 4 bits where the target reads no 2-bit integers. Gives how many. */
const widenTwoBits = (program: Program): number => {
  const narrow = packedConstants(program).filter(({ tensor }) => tensor.facts.storedBits === 2);
  for (const { value, tensor } of narrow) setConstant(value, widenToFourBits(tensor));
  return narrow.length;
};

/**
 * Lowers a program for a target, in place: forms that it cannot run are replaced by equal ones, and told; what cannot
 * be replaced is refused.
 * @throws as `checkTarget`.
 */
export const lowerForTarget = (
  program: Program,
  target: Target | undefined,
  lower: (program: Program, target: Target) => LoweringReport,
): LoweringReport => {
  if (!target) return lower(program, newestTarget);
  const findings: Finding[] = [];
  const tell = (count: number, what: string): void => {
    if (count > 0) findings.push({ kind: 'fact', text: `for ${target.name}, ${count} ${what}` });
  };
  if (!target.twoBitIntegers) tell(widenTwoBits(program), 'weights of 2 bits are stored in 4');
  const report = lower(program, target);
  if (!target.signedConvolutions)
    tell(storeConvolutionsUnsigned(program), 'convolutions have unsigned weights in the place of signed ones');
  checkTarget(program, target);
  return { ...report, findings: [...findings, ...report.findings] };
};
