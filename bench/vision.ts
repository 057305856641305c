import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureSetting, printHead, printRow } from './measured.ts';
import { openVisionModel, visionModels } from './vision-models.ts';

/**
 * Accuracy, agreement with the original, output SNR, bytes and latency of the shared vision models in 8-bit and
 * half-precision forms. 128 images give the ranges (drawn by seed 0), the others measure.
 *
 *   npx tsx bench/vision.ts [--data ../shared/data] [--model squeezenet] [--setting mse] [--samples 200]
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: '' },
    setting: { type: 'string', default: '' },
    samples: { type: 'string' },
  },
});

const models = visionModels(resolve(given.data), {
  calibration: 128,
  ...(given.samples === undefined ? {} : { evaluation: Number(given.samples) }),
});

const settings = [
  { name: 'fp32', options: undefined },
  { name: 'int8 static minmax', options: { activations: { ranges: 'minmax' } } },
  { name: 'int8 static percentile 99.999', options: { activations: { ranges: 'percentile' } } },
  { name: 'int8 static entropy', options: { activations: { ranges: 'entropy' } } },
  { name: 'int8 static mse', options: { activations: { ranges: 'mse' } } },
  { name: 'int8 static minmax per tensor', options: { activations: { ranges: 'minmax', per_channel: false } } },
  {
    name: 'int8 static minmax per tensor equalized',
    options: { activations: { ranges: 'minmax', per_channel: false, equalize: true } },
  },
  { name: 'int8 static mse equalized', options: { activations: { ranges: 'mse', equalize: true } } },
  { name: 'int8 static mse corrected', options: { activations: { ranges: 'mse', bias_correction: true } } },
  {
    name: 'int8 static minmax per tensor corrected',
    options: { activations: { ranges: 'minmax', per_channel: false, bias_correction: true } },
  },
  { name: 'int8 static minmax int8 weights', options: { activations: { ranges: 'minmax', weight_type: 'int8' } } },
  { name: 'int8 static mse quantized head', options: { activations: { ranges: 'mse', head: 'quantized' } } },
  { name: 'int8 dynamic', options: { activations: 'dynamic' } },
  { name: 'float16', options: { precision: 'float16' } },
  { name: 'bfloat16 weights', options: { precision: 'bfloat16' } },
] as const;

const metrics = ['accuracy', 'agreement', 'snr', 'latency'];

for (const model of models) {
  if (!model.name.includes(given.model)) continue;
  const opened = await openVisionModel(model);
  printHead(`${model.name}: ${opened.evaluation.length} images`, metrics);
  for (const { name, options } of settings)
    if (name.includes(given.setting)) printRow(await measureSetting({ ...opened, metrics }, name, options), metrics);
}
