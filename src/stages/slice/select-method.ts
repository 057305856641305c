import { CompressError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { measureDivergence } from '../measure-model.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { ofClasses } from './classes.ts';
import type { SliceOptions } from './options.ts';
import { runSlice } from './run.ts';

/** Samples that candidates are judged on. */
const judgedSamples = 64;

/** Divergence of a smaller model from the one that it was cut from, in nats an item. */
const lossOf = async (smaller: Model, model: Model, options: SliceOptions, context: StageContext): Promise<number> => {
  const { calibration } = context;
  if (!calibration)
    throw new CompressError({
      code: 'data',
      message: 'candidates are judged on calibration data, and there are none',
      where: { key: 'candidates' },
      hint: 'Give data.calibration, or one method alone.',
    });
  const dataset = options.classes ? await ofClasses(calibration, options.classes) : calibration;
  return measureDivergence(smaller.program, model.program, dataset, context, judgedSamples);
};

/**
 * Slices a model by one method, or by each of several candidates and takes what loses least: a coarse choice among masks,
 * after statistics were measured again (adaptive selection by batch normalisation in FedTiny, Huang et al. 2023, section
 * III-B).
 * @throws as `runSlice`; 'data' where candidates cannot be judged
 */
export const selectSlice = async (model: Model, options: SliceOptions, context: StageContext): Promise<StageResult> => {
  if (options.candidates.length === 0) return runSlice(model, options, context);
  const tried: { readonly method: string; readonly loss: number; readonly result: StageResult }[] = [];
  for (const own of options.candidates) {
    const { method } = own;
    const checkpoints = {
      get: (key: string) => context.checkpoints.get(`${method}-${key}`),
      put: (key: string, bytes: Uint8Array) => context.checkpoints.put(`${method}-${key}`, bytes),
    };
    const result = await runSlice(model, own, { ...context, checkpoints });
    tried.push({ method, loss: await lossOf(result.model, model, options, context), result });
    context.emit({
      type: 'progress',
      task: 'candidates',
      done: tried.length,
      total: options.candidates.length,
      unit: 'methods',
      item: method,
    });
  }
  const best = tried.reduce((a, b) => (b.loss < a.loss ? b : a));
  const facts = Object.fromEntries(tried.map(({ method, loss }) => [method, loss]));
  const text = `${best.method} is taken: ${tried.map(({ method, loss }) => `${method} ${loss.toPrecision(3)}`).join(', ')} nats an item`;
  return { ...best.result, findings: [{ kind: 'fact', text, facts }, ...best.result.findings] };
};
