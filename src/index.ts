export { openModel as open } from './artifact/open.ts';
export {
  CompressError,
  CompressErrors,
  type ErrorCode,
  exitCodeOf,
  exitCodes,
  formatError,
  type Where,
} from './errors.ts';
export type { Model } from './ir/model.ts';
export { type PlaceOptions, plan, type QuantizeRequest, quantize, type RecipeInput, run } from './recipe/api.ts';
export { type EvaluationRequest, evaluateModel as evaluate } from './recipe/evaluate-model.ts';
export type { Listener } from './recipe/event-log.ts';
export type { Finding, MetricResult, RunEvent, TimedEvent } from './recipe/events.ts';
export type { GateVerdict } from './recipe/gates.ts';
export type { PlanReport } from './recipe/plan.ts';
export type { RunOptions } from './recipe/run.ts';
export type { RunReport } from './report/schema.ts';
