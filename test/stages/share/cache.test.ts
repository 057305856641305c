import { describe, expect, test } from 'vitest';
import { openModel } from '../../../src/artifact/open.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { verify } from '../../../src/ir/verify.ts';
import { matmul } from '../../../src/kernels/index.ts';
import { Random } from '../../../src/random.ts';
import { cacheGroups, findCaches, widthOf } from '../../../src/stages/share/cache/find-caches.ts';
import { measureCache } from '../../../src/stages/share/cache/measure.ts';
import { shareCache } from '../../../src/stages/share/cache/share-cache.ts';
import { cacheSubspace } from '../../../src/stages/share/cache/subspace.ts';
import { shareStage } from '../../../src/stages/share/index.ts';
import { fixture } from '../../recipe/tiny-run.ts';
import { contextFor, tinyLlama, tinyText } from '../distill/workbench.ts';

const { signal } = new AbortController();
const width = 6;

const moment = async (name: string): Promise<Float64Array> => {
  const x = Float64Array.from(new Random(4, name).normals(30 * width));
  return matmul({ a: x, rows: width, inner: 30, b: x, columns: width, transposeA: true });
};

describe('a subspace', async () => {
  const [c, metric] = [await moment('c'), await moment('metric')];
  const subspace = await cacheSubspace(c, metric, width, signal);
  const square = { rows: width, inner: width, columns: width };

  test('of full rank is exact', async () => {
    const { encoder, decoder } = subspace.factors(width);
    const product = await matmul({ ...square, a: encoder, b: decoder });
    product.forEach((value, at) => {
      expect(value).toBeCloseTo(at % (width + 1) === 0 ? 1 : 0, 8);
    });
  });

  test.each([1, 3, 5])('of rank %i loses what is predicted', async (rank) => {
    const { encoder, decoder } = subspace.factors(rank);
    const kept = await matmul({ a: encoder, rows: width, inner: rank, b: decoder, columns: width });
    const missing = kept.map((value, at) => (at % (width + 1) === 0 ? 1 : 0) - value);
    const error = await matmul({
      ...square,
      a: await matmul({ ...square, a: missing, b: c, transposeA: true }),
      b: missing,
    });
    let loss = 0;
    for (let i = 0; i < width; i++)
      for (let j = 0; j < width; j++) loss += metric[i * width + j]! * error[j * width + i]!;
    expect(loss / subspace.losses[rank]!).toBeCloseTo(1, 6);
  });
});

describe('keys and values of a decoder', async () => {
  const model = await openModel(fixture('tiny-llama'), { layout: 'generation' });
  const calibration = await tinyText(model, 'calibration', 24);
  const context = contextFor(model, calibration);
  const measuring = { engine: onnxruntimeEngine, scratch: context.scratch, signal };

  test('decoded in steps the model is the same', async () => {
    expect(await measureCache(model.program, model.program, calibration, measuring)).toBeLessThan(1e-6);
  });

  test('in a common space of full rank nothing is lost', async () => {
    const program = cloneProgram(model.program);
    inferShapes(program);
    for (const group of cacheGroups(findCaches(program), 2)) {
      const all = group.reduce((sum, cache) => sum + widthOf(cache), 0);
      const identity = Float64Array.from({ length: all ** 2 }, (_, at) => (at % (all + 1) === 0 ? 1 : 0));
      shareCache(program, { group, rank: all, encoder: identity, decoder: identity });
    }
    inferShapes(program);
    expect(verify(program)).toEqual([]);
    expect(program.graph.inputs.filter(({ name }) => name.startsWith('past_key_values')).length).toBeLessThan(
      model.program.graph.inputs.filter(({ name }) => name.startsWith('past_key_values')).length,
    );
    expect(await measureCache(program, model.program, calibration, measuring)).toBeLessThan(1e-6);
  });

  test('the bytes of a position keep to the ratio, and a shared space loses less than one for each layer', async () => {
    const losses: number[] = [];
    for (const group of [4, 1]) {
      const options = shareStage.options.parse({ cache: { ratio: 0.4, group } });
      const { model: smaller, findings } = await shareStage.run(model, options, context);
      expect(verify(smaller.program)).toEqual([]);
      const { facts } = findings.find(({ facts }) => facts?.bytes_before !== undefined)!;
      expect(Number(facts!.bytes_after) / Number(facts!.bytes_before)).toBeLessThanOrEqual(0.6);
      losses.push(Number(facts!.measured_loss));
    }
    expect(losses[0]!).toBeGreaterThan(0);
    expect(losses[0]!).toBeLessThan(losses[1]!);
  });

  test('a model that keeps none is refused', async () => {
    const scoring = await tinyLlama();
    const options = shareStage.options.parse({ cache: {} });
    expect(() => shareStage.plan(scoring, options)).toThrow('keeps no keys and values');
  });
});
