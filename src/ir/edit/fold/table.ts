import { arithmeticEvaluators } from './arithmetic.ts';
import type { Evaluator, EvaluatorTable } from './evaluator.ts';
import { movementEvaluators } from './movement.ts';
import { reduceEvaluators } from './reduce.ts';

/** Operators of the standard domain that constant folding can compute. */
const evaluators: EvaluatorTable = { ...movementEvaluators, ...arithmeticEvaluators, ...reduceEvaluators };

export const evaluatorFor = (op: string): Evaluator | undefined =>
  Object.hasOwn(evaluators, op) ? evaluators[op] : undefined;
