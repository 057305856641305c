import type { Model } from '../../ir/model.ts';
import { quantizeStage } from '../quantize/index.ts';
import { sensitivityStage } from '../sensitivity/index.ts';
import type { StageContext } from '../stage.ts';
import type { AutoOptions } from './options.ts';
import type { AutoReport } from './report.ts';
import { widthOptions } from './widths.ts';

/** A context whose checkpoints do not meet those of other parts of the work. */
const within = (context: StageContext, prefix: string): StageContext => ({
  ...context,
  checkpoints: {
    get: (key) => context.checkpoints.get(`${prefix}-${key}`),
    put: (key, bytes) => context.checkpoints.put(`${prefix}-${key}`, bytes),
  },
});

/** Chooses the width of every weight so that the model has so many bytes, and rounds the weights. */
export const roundToBudget = async (
  model: Model,
  bytes: number,
  options: AutoOptions,
  context: StageContext,
  report: AutoReport,
): Promise<Model> => {
  const widths = await sensitivityStage.run(model, widthOptions(options, { bytes }), within(context, 'widths'));
  report.told(widths.findings);
  const request = quantizeStage.options.parse({
    weights: { bits: 'auto' },
    targets: options.targets,
    ignore: options.ignore,
  });
  const rounded = await quantizeStage.run(widths.model, request, within(context, 'rounding'));
  report.told(rounded.findings);
  return rounded.model;
};
