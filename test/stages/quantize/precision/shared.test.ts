import { describe, expect, test } from 'vitest';
import { readOnnx } from '../../../../src/artifact/formats/onnx/read.ts';
import type { NumericArray } from '../../../../src/calibration/dataset.ts';
import { sameTensor } from '../../../../src/ir/read.ts';
import { verify } from '../../../../src/ir/verify.ts';
import { convertPrecision } from '../../../../src/stages/quantize/precision/convert.ts';
import { normalisePrecision, type PrecisionInput } from '../../../../src/stages/quantize/precision/options.ts';
import { intArray, largestDifference, normalArray, runProgram } from '../../../artifact/lower/run.ts';
import { sharedData } from '../../../shared.ts';
import { modelOf, scaleOf } from '../activations/workbench.ts';

const halfSqueezenet = sharedData('vision-squeezenet-imagenet', 'squeezenet1.1_fp16.onnx');
const squeezenet = sharedData('vision-squeezenet-imagenet', 'squeezenet1.1_fp32.onnx');

const constantsOf = (path: string, input: PrecisionInput) =>
  new Map(
    [...convertPrecision(modelOf(readOnnx(path)), normalisePrecision(input)).model.program.graph.initializers].map(
      (value) => [value.name, value.tensor!],
    ),
  );

test.skipIf(!halfSqueezenet)(
  'the float16 SqueezeNet has exactly the constants of the published one (needs ../shared/data)',
  () => {
    const made = constantsOf(squeezenet!, { precision: 'float16', io: 'convert' });
    for (const { name, tensor } of readOnnx(halfSqueezenet!).graph.initializers)
      expect([name, sameTensor(made.get(name)!, tensor!)]).toEqual([name, true]);
  },
);

test.skipIf(!halfSqueezenet)(
  'the widened SqueezeNet has exactly the constants of the float32 one (needs ../shared/data)',
  () => {
    const made = constantsOf(halfSqueezenet!, { precision: 'float32', io: 'convert' });
    for (const { name, tensor } of readOnnx(squeezenet!).graph.initializers)
      expect([name, sameTensor(made.get(name)!, tensor!)]).toEqual([name, true]);
  },
);

const speech: Record<string, NumericArray> = {
  input: normalArray([1, 576], 1),
  state: normalArray([2, 1, 128], 2),
  sr: { ...intArray([], [16000]), shape: [] },
};

describe.each([
  { folder: 'vision-cifar10-resnet', file: 'resnet20_cifar10.onnx', feeds: { input: normalArray([1, 3, 32, 32], 1) } },
  { folder: 'vision-mnist', file: 'mnist.onnx', feeds: { Input3: normalArray([1, 1, 28, 28], 1) } },
  { folder: 'detect-ultraface', file: 'version-RFB-320.onnx', feeds: { input: normalArray([1, 3, 240, 320], 1) } },
  { folder: 'audio-silero-vad', file: 'silero_vad.onnx', feeds: speech },
  { folder: 'llm-stories260k', file: 'model.onnx', feeds: { input_ids: intArray([1, 6], [1, 20, 300, 4, 5, 9]) } },
])('$file (needs ../shared/data)', ({ folder, file, feeds }) => {
  const path = sharedData(folder, file);
  test.skipIf(!path).each([
    { precision: 'float16', error: 5e-3 },
    { precision: 'bfloat16', error: 4e-2 },
  ] as const)('runs in $precision, within $error of float32', async ({ precision, error }) => {
    const program = readOnnx(path!);
    const { model } = convertPrecision(modelOf(program), normalisePrecision({ precision }));
    expect(verify(model.program)).toEqual([]);
    const before = await runProgram(program, feeds);
    expect(largestDifference(before, await runProgram(model.program, feeds)) / scaleOf(before)).toBeLessThan(error);
  });
});
