import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readOnnx } from '../src/artifact/formats/onnx/read.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { measureSetting, printHead, printRow } from './measured.ts';

/**
 * Agreement of decisions, output SNR, bytes and latency of the voice detector in 8-bit and half-precision forms, over
 * one minute of speech with the state carried along.
 *
 *   npx tsx bench/audio.ts [--data ../shared/data] [--setting int8]
 */
const { values: given } = parseArgs({
  options: { data: { type: 'string', default: '../shared/data' }, setting: { type: 'string', default: '' } },
});

const folder = join(resolve(given.data), 'audio-silero-vad');

const settings = [
  { name: 'fp32', options: undefined, data: false },
  { name: 'int8 dynamic', options: { activations: 'dynamic' }, data: true },
  { name: 'int8 dynamic, no data', options: { activations: 'dynamic' }, data: false },
  {
    name: 'int8 dynamic, int8 weights',
    options: { activations: { mode: 'dynamic', weight_type: 'int8' } },
    data: true,
  },
  {
    name: 'int8 dynamic, per tensor, all',
    options: { activations: { mode: 'dynamic', per_channel: false, least_snr: 0 } },
    data: true,
  },
  { name: 'int8 static mse', options: { activations: { ranges: 'mse' } }, data: true },
  { name: 'float16', options: { precision: 'float16' }, data: false },
] as const;

const metrics = ['agreement', 'snr', 'latency'];

for (const file of ['silero_vad_16k_op15.onnx', 'silero_vad.onnx']) {
  const program = readOnnx(join(folder, file));
  const context = { baseDirectory: '.', seed: 0, modelInputs: inputSignature(program) };
  const spec = {
    audio: join(folder, 'test.wav'),
    window: 512,
    context: 64,
    constants: { sr: 16000 },
    carry: { stateN: 'state' },
  };
  const speech = await openDataset(spec, context);
  printHead(`${file}: ${speech.length} recording`, metrics);
  for (const { name, options, data } of settings) {
    if (!name.includes(given.setting)) continue;
    const calibration = data ? speech : undefined;
    const row = await measureSetting({ program, calibration, evaluation: speech, metrics }, name, options);
    printRow(row, metrics);
    for (const { site, text } of row.findings) console.log(`    ${site ?? ''}: ${text}`);
  }
}
