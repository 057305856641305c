import { describe, expect, it } from 'vitest';
import { readOnnx } from '../../../src/artifact/formats/onnx/read.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { printProgram } from '../../../src/ir/text/print.ts';
import { verify } from '../../../src/ir/verify.ts';
import { sharedData } from '../../shared.ts';

describe.each([
  ['audio-silero-vad', 'silero_vad.onnx'],
  ['detect-ultraface', 'version-RFB-320.onnx'],
  ['llm-stories260k', 'model.onnx'],
  ['vision-mnist', 'mnist.onnx'],
  ['vision-squeezenet-imagenet', 'squeezenet1.1_fp16.onnx'],
  ['vision-style-transfer', 'candy.onnx'],
])('%s/%s (needs ../shared/data)', (folder, file) => {
  const path = sharedData(folder, file);

  it.skipIf(!path)('its text is canonical and reads as a sound program of the same shape', () => {
    const program = readOnnx(path!);
    const text = printProgram(program);
    const parsed = parseProgram(text);
    expect(printProgram(parsed)).toBe(text);
    expect(verify(parsed)).toEqual([]);
    expect(parsed.graph.nodes.map((node) => node.op)).toEqual(program.graph.nodes.map((node) => node.op));
  });
});
