import type { FormatContext, PrecisionName } from '../artifact/formats/format.ts';
import { precisionOf } from '../artifact/formats/transformersjs/precision.ts';
import type { Model } from '../ir/model.ts';
import { packNf4 } from '../stages/quantize/codebook/pack.ts';
import { quantizeStage } from '../stages/quantize/index.ts';
import type { StageContext } from '../stages/stage.ts';
import type { Finding } from './events.ts';

/** Options of the quantize stage that make a precision, one run of the stage after the other. */
const steps: Readonly<Record<Exclude<PrecisionName, 'bnb4'>, readonly unknown[]>> = {
  fp32: [{ precision: 'float32' }],
  fp16: [{ precision: 'float16' }],
  q8: [{ activations: { mode: 'dynamic', weight_type: 'uint8' } }],
  int8: [{ activations: { mode: 'dynamic', weight_type: 'int8' } }],
  uint8: [{ activations: { mode: 'dynamic', weight_type: 'uint8' } }],
  q4: [{ method: 'rtn', weights: { bits: 4, group_size: 32 } }],
  q4f16: [{ method: 'rtn', weights: { bits: 4, group_size: 32 } }, { precision: 'float16' }],
  q2: [{ method: 'rtn', weights: { bits: 2, group_size: 32 } }],
  q2f16: [{ method: 'rtn', weights: { bits: 2, group_size: 32 } }, { precision: 'float16' }],
};

/** Precisions that are another one with half-precision scales. */
const halves: Partial<Record<PrecisionName, PrecisionName>> = { q4f16: 'q4', q2f16: 'q2' };

export interface Variants {
  /** The model as the stages made it. */
  readonly finished: Model;
  /** The model as it was before its weights were quantized. */
  readonly plain: Model;
  readonly context: Omit<StageContext, 'checkpoints'>;
}

const runSteps = async (
  start: Model,
  options: readonly unknown[],
  context: StageContext,
): Promise<{ model: Model; findings: Finding[] }> => {
  let model = start;
  const findings: Finding[] = [];
  for (const step of options) {
    const result = await quantizeStage.run(model, quantizeStage.options.parse(step), context);
    model = result.model;
    findings.push(...result.findings);
  }
  return { model, findings };
};

/**
 * Makes models in other precisions for formats that hold several. A half-precision twin of what the stages made keeps
 * its integers; everything else starts from the model before it was quantized.
 */
export const convertTo =
  ({ finished, plain, context }: Variants): NonNullable<FormatContext['convert']> =>
  async (to) => {
    const stageContext: StageContext = {
      ...context,
      checkpoints: { get: () => undefined, put: () => {} },
      emit: (event) => {
        if (event.type === 'progress') context.emit(event);
      },
    };
    if (precisionOf(plain.program) === to) return { model: plain, findings: [] };
    if (to === 'bnb4') return { model: packNf4(plain), findings: [] };
    if (halves[to] === precisionOf(finished.program))
      return runSteps(finished, [{ precision: 'float16' }], stageContext);
    return runSteps(plain, steps[to], stageContext);
  };
