import { describe, expect, test } from 'vitest';
import { measureCost } from '../../../src/analysis/cost.ts';
import { layerNumber, renumbered } from '../../../src/analysis/layer-numbers.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import { setConstant } from '../../../src/ir/edit/replace.ts';
import type { Model } from '../../../src/ir/model.ts';
import { floatTensor, readFloats } from '../../../src/ir/read.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { dropLayers } from '../../../src/stages/distill/drop-layers.ts';
import { findShareLanes } from '../../../src/stages/share/groups.ts';
import { shareStage } from '../../../src/stages/share/index.ts';
import { placeOf } from '../../../src/stages/share/methods/linear.ts';
import { layersOf, repeatLayers } from '../../../src/stages/share/repeat-layers.ts';
import { contextFor, klOf, tinyLlama, tinyText } from '../distill/workbench.ts';

const expand = async (model: Model, written: object): Promise<Model> => {
  const context = contextFor(model, await tinyText(model, 'calibration', 2));
  return (await shareStage.run(model, shareStage.options.parse(written), context)).model;
};

/** A copy whose layers lie on a line: weights and norms of layer l are those of the first and last, mixed. */
const linearInDepth = (model: Model): Model => {
  const program = cloneProgram(model.program);
  const mix = (a: Float32Array, b: Float32Array, t: number): Float32Array =>
    a.map((value, index) => (1 - t) * value + t * b[index]!);
  for (const { sites } of findShareLanes(program, { targets: ['*'], ignore: [] }).lanes) {
    const [first, last] = [readSiteMatrix(sites[0]!), readSiteMatrix(sites.at(-1)!)].map((m) => Float32Array.from(m));
    for (const [layer, site] of sites.entries())
      writeSiteMatrix(site, mix(first!, last!, placeOf(layer, sites.length)));
  }
  const count = layersOf(program).length;
  const norms = [...program.graph.initializers].filter(({ name }) => /layers\.\d+.*norm/.test(name));
  const floats = new Map(norms.map(({ name, tensor }) => [name, readFloats(tensor!)]));
  for (const value of norms) {
    const own = layerNumber(value.name)!;
    const at = (layer: number): Float32Array => floats.get(renumbered(value.name, new Map([[own, layer]])))!;
    setConstant(value, floatTensor(value.tensor!.shape, mix(at(0), at(count - 1), placeOf(own, count))));
  }
  return { ...model, program };
};

describe('linear expansion', async () => {
  const model = await tinyLlama();
  const evaluation = await tinyText(model, 'evaluation', 6);
  const count = layersOf(model.program).length;

  test('is exact at the original depth when layers are linear in depth', async () => {
    const linear = linearInDepth(model);
    expect(await klOf(linear, model, evaluation)).toBeGreaterThan(1e-3);
    const expanded = await expand(linear, { method: 'linear', depth: count });
    expect(verify(expanded.program)).toEqual([]);
    expect(await klOf(expanded, linear, evaluation)).toBeLessThan(1e-6);
  });

  test('makes models of any depth from two matrices a weight: deeper ones are hardly larger', async () => {
    const sizes: number[] = [];
    for (const depth of [1, count, 2 * count]) {
      const expanded = await expand(model, { method: 'linear', depth });
      expect(verify(expanded.program)).toEqual([]);
      expect(layersOf(expanded.program).length).toBe(depth);
      expect(expanded.config!.num_hidden_layers).toBe(depth);
      expect(await klOf(expanded, model, evaluation)).toBeGreaterThan(0);
      sizes.push(measureCost(expanded.program).storedBytes);
    }
    expect(sizes[2]! / sizes[1]!).toBeLessThan(1.03);
    expect(sizes[1]!).toBeLessThan(measureCost(model.program).storedBytes);
  });
});

describe('repeated layers', async () => {
  const model = await tinyLlama();
  const evaluation = await tinyText(model, 'evaluation', 6);
  const count = layersOf(model.program).length;

  test('each once is the same model', async () => {
    const same = repeatLayers(
      model,
      Array.from({ length: count }, (_, layer) => layer),
    );
    expect(verify(same.program)).toEqual([]);
    expect(await klOf(same, model, evaluation)).toBeLessThan(1e-9);
  });

  test('some left out are those of a student with fewer layers', async () => {
    const kept = [0, count - 1];
    expect(await klOf(repeatLayers(model, kept), dropLayers(model, kept), evaluation)).toBeLessThan(1e-9);
  });

  test('copies read the same constants', () => {
    const repeated = repeatLayers(model, [0, 0, 0, count - 1]);
    expect(verify(repeated.program)).toEqual([]);
    const readers = findSites(repeated.program)
      .filter(({ name }) => name.endsWith('q_proj'))
      .map(({ weight, block }) => ({ weight, block }));
    expect(readers.map(({ block }) => block)).toEqual([0, 1, 2, 3]);
    expect(new Set(readers.slice(0, 3).map(({ weight }) => weight)).size).toBe(1);
  });

  test('stages of shared weights are repeated to the depth that is asked for', async () => {
    const expanded = await expand(model, { method: 'tied', group: 2, depth: count + 2 });
    expect(verify(expanded.program)).toEqual([]);
    const shared = [...expanded.program.graph.initializers].filter(
      ({ uses, name }) => uses.length > 1 && /shared/.test(name),
    );
    expect(shared.length).toBeGreaterThan(0);
    expect(measureCost(expanded.program).storedBytes).toBeLessThan(measureCost(model.program).storedBytes);
  });
});

describe('bad input', () => {
  test('methods that know no depth are refused', async () => {
    await expect(expand(await tinyLlama(), { method: 'basis', depth: 4 })).rejects.toThrow('no model of another depth');
  });

  test('a graph without numbered layers cannot be made deeper', async () => {
    const program = parseProgram(`program opset=21
      graph main(x: float32[batch, 6]) -> (y: float32[batch, 6]) {
        a: float32[6, 6] = random(seed=1)
        y = MatMul(x, a)
      }`);
    const foreign: Model = { program, family: undefined, config: undefined, companions: [], origin: 'text' };
    await expect(
      shareStage.run(
        foreign,
        shareStage.options.parse({ method: 'linear', depth: 4 }),
        contextFor(foreign, await tinyText(await tinyLlama(), 'calibration', 2)),
      ),
    ).rejects.toThrow('the layers of this graph are not known');
  });
});
