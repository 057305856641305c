import type { Rule, RuleTable } from './call.ts';
import { elementwiseContents } from './contents.ts';
import { tensorFact } from './fact.ts';
import { broadcastShapes } from './shapes.ts';

/** Comparisons and connectives: booleans of the broadcast shape. */
const comparison: Rule = (call) => {
  const shape = call.opset < 7 ? call.shape(0) : broadcastShapes(call, [call.shape(0), call.shape(1)]);
  return [tensorFact('bool', shape, elementwiseContents(call, shape))];
};

const booleanOfFirst: Rule = (call) => {
  const shape = call.shape(0);
  return [tensorFact('bool', shape, elementwiseContents(call, shape))];
};

const where: Rule = (call) => {
  const shape = broadcastShapes(call, [call.shape(0), call.shape(1), call.shape(2)]);
  const [yes, no] = [call.dtype(1), call.dtype(2)];
  if (yes && no && yes !== no) call.problem(`the branches have element types ${yes} and ${no}`);
  return [tensorFact(yes ?? no, shape, elementwiseContents(call, shape))];
};

export const logicalRules: RuleTable = {
  And: comparison,
  Equal: comparison,
  Greater: comparison,
  GreaterOrEqual: comparison,
  Less: comparison,
  LessOrEqual: comparison,
  Or: comparison,
  Xor: comparison,
  IsInf: booleanOfFirst,
  IsNaN: booleanOfFirst,
  Not: booleanOfFirst,
  Where: where,
};
