import { describe, expect, it } from 'vitest';
import { readOnnx } from '../../../src/artifact/formats/onnx/read.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { isStatic } from '../../../src/ir/shape.ts';
import { verify } from '../../../src/ir/verify.ts';
import { allGraphs } from '../../../src/ir/walk.ts';
import { sharedData } from '../../shared.ts';
import { arrayOf, observableValues, randomFeeds, runProgram } from '../run.ts';

interface SharedModel {
  readonly folder: string;
  readonly file: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Values whose rank or size depends on data even when the inputs are fixed. */
  readonly open?: boolean;
  /** Too slow to run here. */
  readonly unrun?: boolean;
}

const models: readonly SharedModel[] = [
  {
    folder: 'audio-silero-vad',
    file: 'silero_vad.onnx',
    shapes: { input: [1, 512], state: [2, 1, 128], sr: [] },
    open: true,
  },
  {
    folder: 'audio-silero-vad',
    file: 'silero_vad_16k_op15.onnx',
    shapes: { input: [1, 512], state: [2, 1, 128], sr: [] },
  },
  { folder: 'detect-ultraface', file: 'version-RFB-320.onnx', shapes: { input: [1, 3, 240, 320] } },
  { folder: 'detect-ultraface', file: 'version-RFB-320_simplified.onnx', shapes: { input: [1, 3, 240, 320] } },
  { folder: 'llm-babyllama-tok105', file: 'model.onnx', shapes: { input_ids: [2, 9] } },
  { folder: 'llm-stories260k', file: 'model.onnx', shapes: { input_ids: [2, 9] } },
  { folder: 'vision-cifar10-resnet', file: 'resnet20_cifar10.onnx', shapes: { input: [2, 3, 32, 32] } },
  { folder: 'vision-mnist', file: 'mnist.onnx', shapes: { Input3: [1, 1, 28, 28] } },
  { folder: 'vision-squeezenet-imagenet', file: 'squeezenet1.1_fp32.onnx', shapes: { data_0: [1, 3, 224, 224] } },
  { folder: 'vision-squeezenet-imagenet', file: 'squeezenet1.1_fp16.onnx', shapes: { data_0: [1, 3, 224, 224] } },
  { folder: 'vision-style-transfer', file: 'candy.onnx', shapes: { inputImage: [1, 3, 720, 720] }, unrun: true },
];

describe.each(models)('$folder/$file (needs ../shared/data)', ({ folder, file, shapes, open, unrun = false }) => {
  const path = sharedData(folder, file);

  it.skipIf(!path)('every operator is known, every value has an element type, nothing contradicts the file', () => {
    const program = readOnnx(path!);
    const report = inferShapes(program);
    expect(report).toEqual({ unknownOperators: [], problems: [], contradictions: [] });
    expect(verify(program)).toEqual([]);
    for (const graph of allGraphs(program))
      for (const node of graph.nodes)
        for (const value of node.outputs)
          if (value)
            expect([value.name, value.type?.kind === 'tensor' && value.type.dtype]).toEqual([
              value.name,
              expect.any(String),
            ]);
  });

  it.skipIf(!path || unrun)(
    'for given input shapes every value has the type and shape that onnxruntime computes',
    async () => {
      const program = readOnnx(path!);
      inferShapes(program, { inputShapes: new Map(Object.entries(shapes)) });
      const values = observableValues(program);
      const feeds = randomFeeds(program, shapes);
      if (feeds.has('sr')) feeds.set('sr', arrayOf('int64', [], [16_000]));
      const results = await runProgram(program, feeds, values);
      let compared = 0;
      for (const value of values) {
        const found = results.get(value.name);
        if (value.type?.kind !== 'tensor' || !found) continue;
        expect([value.name, value.type.dtype]).toEqual([value.name, found.dtype]);
        if (!isStatic(value.type.shape) && open) continue;
        expect([value.name, value.type.shape]).toEqual([value.name, [...found.shape]]);
        compared++;
      }
      expect(compared).toBeGreaterThan(open ? 0 : 5);
    },
  );
});
