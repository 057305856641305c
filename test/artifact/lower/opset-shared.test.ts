import { describe, expect, test } from 'vitest';
import { upgradeOpset } from '../../../src/artifact/formats/onnx/lower/opset.ts';
import { readOnnx } from '../../../src/artifact/formats/onnx/read.ts';
import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import { sharedData } from '../../shared.ts';
import { intArray, largestDifference, normalArray, runProgram } from './run.ts';

interface Given {
  readonly file: readonly [string, string];
  readonly feeds: Readonly<Record<string, NumericArray>>;
}

const vad = {
  input: normalArray([1, 576], 1),
  state: normalArray([2, 1, 128], 2),
  sr: { ...intArray([], [16000]), shape: [] },
};

const models: readonly Given[] = [
  {
    file: ['vision-squeezenet-imagenet', 'squeezenet1.1_fp32.onnx'],
    feeds: { data_0: normalArray([1, 3, 224, 224], 1) },
  },
  { file: ['vision-mnist', 'mnist.onnx'], feeds: { Input3: normalArray([1, 1, 28, 28], 1) } },
  { file: ['detect-ultraface', 'version-RFB-320.onnx'], feeds: { input: normalArray([1, 3, 240, 320], 1) } },
  { file: ['vision-cifar10-resnet', 'resnet20_cifar10.onnx'], feeds: { input: normalArray([1, 3, 32, 32], 1) } },
  { file: ['audio-silero-vad', 'silero_vad.onnx'], feeds: vad },
  { file: ['llm-stories260k', 'model.onnx'], feeds: { input_ids: intArray([1, 5], [1, 20, 300, 4, 5]) } },
];

describe.each(models)('$file.1 (needs ../shared/data)', ({ file, feeds }) => {
  const path = sharedData(...file);
  test.skipIf(!path)('computes the same after its operator set was raised to 21', async () => {
    const program = readOnnx(path!);
    const names = program.graph.inputs.filter(({ tensor }) => !tensor).map(({ name }) => name);
    const fed = names.length === 1 ? { [names[0]!]: Object.values(feeds)[0]! } : feeds;
    const before = await runProgram(program, fed);
    const upgraded = cloneProgram(program);
    upgradeOpset(upgraded, 21);
    expect(upgraded.opsets.get('')).toBe(21);
    const scale = Math.max(
      ...[...before.values()].flatMap(({ data }) =>
        Array.from(data as Float32Array, (value) => Math.abs(Number(value))),
      ),
    );
    expect(largestDifference(before, await runProgram(upgraded, fed)) / scale).toBeLessThan(1e-5);
  });
});
