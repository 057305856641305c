import { InputFactor } from '../../../kernels/index.ts';
import type { Rounded, RoundingProblem } from './method.ts';

/** How H is factored for a method. */
interface FactorWish {
  readonly damp: number;
  readonly maxDampRetries: number;
  readonly pairs?: { readonly moment: Float64Array; readonly share: number };
}

/** Factors by the H that they belong to: weights that see the same inputs share the work, and so do attempts. */
const known = new WeakMap<Float64Array, Map<string, Promise<InputFactor>>>();

/** The factored inputs of a problem; made once for every H as long as that array lives. */
export const factorOf = (problem: RoundingProblem, gram: Float64Array, wish: FactorWish): Promise<InputFactor> => {
  const { columns, settings, signal } = problem;
  const { damp, maxDampRetries, pairs } = wish;
  const factors = known.get(gram) ?? new Map<string, Promise<InputFactor>>();
  known.set(gram, factors);
  const key = JSON.stringify([damp, maxDampRetries, pairs?.share ?? 0, settings.actOrder]);
  const made =
    factors.get(key) ??
    InputFactor.make({ hessian: gram, columns, actOrder: settings.actOrder, damp, maxDampRetries, pairs, signal });
  factors.set(key, made);
  return made;
};

type FactorFacts = Pick<InputFactor, 'dampUsed' | 'dampRetries' | 'deadColumns'>;

/** What the report says about a factor: the damping that was used, more than asked for as a fallback. */
export const factorFacts = (factor: FactorFacts, asked: number): Pick<Rounded, 'facts' | 'fallback'> => ({
  facts: { damp: factor.dampUsed, dead_columns: factor.deadColumns },
  ...(factor.dampRetries > 0
    ? { fallback: `H is not positive definite with damping ${asked}: ${factor.dampUsed} was needed` }
    : {}),
});
