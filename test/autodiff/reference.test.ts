import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../src/artifact/open.ts';
import { appendGradients } from '../../src/autodiff/gradient.ts';
import { prepareForGradients } from '../../src/autodiff/prepare.ts';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { OperatorBuilder } from '../../src/ir/build.ts';
import { Value } from '../../src/ir/graph.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { tensorType } from '../../src/ir/shape.ts';
import { crossEntropy } from '../../src/training/losses/cross-entropy.ts';
import { sharedData } from '../shared.ts';

interface GradientFacts {
  readonly norm: number;
  readonly first: readonly number[];
  readonly hvp_norm: number;
  readonly hvp_first: readonly number[];
}

const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));

/** The first elements in the checkpoint's order: its matrices are (outputs, inputs), the graph's (inputs, outputs). */
const firstElements = (array: NumericArray, transposed: boolean, count: number): number[] => {
  const outputs = array.shape.at(-1)!;
  return Array.from({ length: count }, (_, i) => Number(array.data[transposed ? i * outputs : i]));
};

const closeTo = (found: number, wanted: number, scale: number, tolerance: number): void =>
  expect(Math.abs(found - wanted) / scale).toBeLessThan(tolerance);

describe.each(['llm-stories260k', 'llm-babyllama-tok105'])('gradients of %s', (name) => {
  const folder = sharedData(name);
  it.skipIf(!folder)(
    'and Hessian-gradient products equal an independent float64 reference (needs ../shared/data)',
    async () => {
      const reference = JSON.parse(readFileSync(join(folder!, 'eval/gradient-reference.json'), 'utf8'));
      const { program } = await openModel(folder!);
      prepareForGradients(program);
      const { graph } = program;
      const window = Number(JSON.parse(readFileSync(join(folder!, 'config.json'), 'utf8')).max_position_embeddings);
      const logits = graph.outputs[0]!;
      const labels = new Value('labels', tensorType('int64', ['batch_size', 'sequence_length']));
      const weights = new Value('weights', tensorType('float32', ['batch_size', 'sequence_length']));
      graph.inputs.push(labels, weights);
      const build = new OperatorBuilder(graph, 'loss');
      const loss = crossEntropy(build, logits, labels, weights);
      inferShapes(program);
      const facts = Object.entries(reference.gradients as Record<string, GradientFacts>);
      const sources = facts.map(([tensor]) => [...graph.initializers].find((value) => value.name === tensor)!);
      const { byValue, unreached } = appendGradients({ graph, loss, of: sources });
      expect(unreached).toEqual([]);
      const gradients = sources.map((source) => byValue.get(source)!);
      inferShapes(program);
      const dots = gradients.map((gradient) =>
        build.call('ReduceSumSquare', [gradient], { keepdims: { kind: 'int', value: 0 } }),
      );
      const half = build.scale(build.typed(build.call('Sum', dots), tensorType('float32', [])), 0.5);
      const { byValue: products } = appendGradients({
        graph,
        loss: build.typed(half, tensorType('float32', [])),
        of: sources,
        prefix: 'product',
      });
      graph.outputs.splice(
        0,
        graph.outputs.length,
        loss,
        ...gradients,
        ...sources.map((source) => products.get(source)!),
      );
      const tokens = new Uint16Array(
        new Uint8Array(readFileSync(join(folder!, 'eval/tinystories-train-sample.u16'))).buffer,
      );
      const ids = new BigInt64Array(4 * window);
      const targets = new BigInt64Array(4 * window);
      const scored = new Float32Array(4 * window);
      for (let row = 0; row < 4; row++) {
        const at = (position: number): bigint =>
          position === 0 ? 1n : BigInt(tokens[row * (window - 1) + position - 1]!);
        for (let position = 0; position < window; position++) {
          ids[row * window + position] = at(position);
          if (position + 1 < window) targets[row * window + position] = at(position + 1);
          scored[row * window + position] = position + 1 < window ? 1 : 0;
        }
      }
      const shape = [4, window];
      const session = await onnxruntimeEngine.open(program);
      const results = await session.run(
        new Map<string, NumericArray>([
          ['input_ids', { dtype: 'int64', shape, data: ids }],
          ['labels', { dtype: 'int64', shape, data: targets }],
          ['weights', { dtype: 'float32', shape, data: scored }],
        ]),
      );
      await session.close();
      closeTo(Number(results.get(loss.name)!.data[0]), reference.loss, reference.loss, 1e-6);
      facts.forEach(([tensor, wanted], index) => {
        const gradient = results.get(gradients[index]!.name)!;
        const product = results.get(products.get(sources[index]!)!.name)!;
        const transposed = tensor.endsWith('proj.weight');
        closeTo(norm(gradient.data as Float32Array), wanted.norm, wanted.norm, 1e-4);
        closeTo(norm(product.data as Float32Array), wanted.hvp_norm, wanted.hvp_norm, 1e-3);
        firstElements(gradient, transposed, 5).forEach((value, i) => {
          closeTo(value, wanted.first[i]!, wanted.norm, 1e-5);
        });
        firstElements(product, transposed, 5).forEach((value, i) => {
          closeTo(value, wanted.hvp_first[i]!, wanted.hvp_norm, 1e-4);
        });
      });
    },
    240_000,
  );
});
