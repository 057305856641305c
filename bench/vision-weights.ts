import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureSetting, printHead, printRow } from './measured.ts';
import { openVisionModel, visionModels } from './vision-models.ts';

/**
 * Accuracy, divergence and agreement of the shared vision models with weights of few bits, one scale a channel. The
 * calibration images are drawn by seed 0; others measure.
 *
 *   npx tsx bench/vision-weights.ts [--data ../shared/data] [--model resnet20] [--bits 4,3,2] [--method rtn,gptq,auto]
 *                                   [--options '{"refine":"block-ap"}']
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: '' },
    bits: { type: 'string', default: '4,3,2' },
    method: { type: 'string', default: 'rtn,gptq,auto' },
    samples: { type: 'string' },
    options: { type: 'string', default: '{}' },
  },
});

const models = visionModels(resolve(given.data), {
  calibration: 512,
  ...(given.samples === undefined ? {} : { evaluation: Number(given.samples) }),
});

const metrics = ['accuracy', 'agreement', 'kl', 'snr'];

for (const model of models) {
  if (!model.name.includes(given.model)) continue;
  const opened = await openVisionModel(model);
  const measurement = { ...opened, metrics };
  printHead(`${model.name}: ${opened.evaluation.length} images`, metrics);
  printRow(await measureSetting(measurement, 'fp32', undefined), metrics);
  for (const bits of given.bits.split(',').map(Number))
    for (const method of given.method.split(',')) {
      const options = { method, weights: { bits, group_size: 'row' }, ...JSON.parse(given.options) };
      printRow(await measureSetting(measurement, `W${bits} ${method}`, options), metrics);
    }
}
