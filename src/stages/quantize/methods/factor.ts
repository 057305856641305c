import { InputFactor } from '../../../kernels/index.ts';
import type { Rounded, RoundingProblem } from './method.ts';

/** The least damping there is, also where none was asked for: more begins to grow from here. */
export const leastDamp = 1e-6;

/** Retries, each with ten times the damping of the one before, until as much as the mean of the diagonal is added. */
const retriesFrom = (damp: number): number => Math.max(0, Math.ceil(-Math.log10(damp)));

/** How H is factored for a method. */
interface FactorWish {
  /** As it was asked for. */
  readonly damp: number;
  readonly pairs?: { readonly moment: Float64Array; readonly share: number };
}

/** Factors by the H that they belong to: weights that see the same inputs share the work, and so do attempts. */
const known = new WeakMap<Float64Array, Map<string, Promise<InputFactor>>>();

/** The factored inputs of a problem; made once for every H as long as that array lives. */
export const factorOf = (problem: RoundingProblem, gram: Float64Array, wish: FactorWish): Promise<InputFactor> => {
  const { columns, settings, signal } = problem;
  const { pairs } = wish;
  const damp = Math.max(wish.damp, leastDamp);
  const maxDampRetries = retriesFrom(damp);
  const factors = known.get(gram) ?? new Map<string, Promise<InputFactor>>();
  known.set(gram, factors);
  const key = JSON.stringify([damp, pairs?.share ?? 0, settings.actOrder]);
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
