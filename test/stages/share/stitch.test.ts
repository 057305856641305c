import { describe, expect, test } from 'vitest';
import { measureCost } from '../../../src/analysis/cost.ts';
import { openModel } from '../../../src/artifact/open.ts';
import type { Model } from '../../../src/ir/model.ts';
import { verify } from '../../../src/ir/verify.ts';
import { dropLayers } from '../../../src/stages/distill/drop-layers.ts';
import { shareStage } from '../../../src/stages/share/index.ts';
import { layersOf } from '../../../src/stages/share/repeat-layers.ts';
import { sliceStage } from '../../../src/stages/slice/index.ts';
import type { StageResult } from '../../../src/stages/stage.ts';
import { fixture } from '../../recipe/tiny-run.ts';
import { contextFor, klOf, tinyLlama, tinyText } from '../distill/workbench.ts';

const stitch = async (model: Model, other: Model, after: number, from: number): Promise<StageResult> => {
  const models = { original: model, open: async () => other };
  const context = contextFor(model, await tinyText(model, 'calibration', 24), { models });
  return shareStage.run(model, shareStage.options.parse({ stitch: { with: 'other', after, from } }), context);
};

describe('stitching', async () => {
  const model = await tinyLlama();
  const evaluation = await tinyText(model, 'evaluation', 8);
  const count = layersOf(model.program).length;

  test('of a model with itself is the identity, and stores what both have once', async () => {
    const { model: sewn } = await stitch(model, await openModel(fixture('tiny-llama')), 0, 1);
    expect(verify(sewn.program)).toEqual([]);
    expect(await klOf(sewn, model, evaluation)).toBeLessThan(1e-6);
    expect(measureCost(sewn.program).storedBytes / measureCost(model.program).storedBytes).toBeLessThan(1.1);
    expect(layersOf(sewn.program).length).toBe(count);
  });

  test('past a layer makes up for a part of what is missing', async () => {
    const { model: sewn, findings } = await stitch(model, model, 0, 2);
    const kept = [0, ...Array.from({ length: count - 2 }, (_, index) => index + 2)];
    expect(sewn.config!.num_hidden_layers).toBe(count - 1);
    expect(findings[0]!.facts!.explained).toBeGreaterThan(0);
    expect(await klOf(sewn, model, evaluation)).toBeLessThan(await klOf(dropLayers(model, kept), model, evaluation));
  });

  test('takes a stream of one width into another', async () => {
    const options = sliceStage.options.parse({ ratio: { parameters: 0.1 }, method: 'slicegpt' });
    const context = contextFor(model, await tinyText(model, 'calibration', 24));
    const { model: narrow } = await sliceStage.run(model, options, context);
    const { model: sewn, findings } = await stitch(narrow, model, count - 2, count - 1);
    expect(verify(sewn.program)).toEqual([]);
    expect(findings[0]!.facts!.explained).toBeGreaterThan(0.5);
    expect(await klOf(sewn, model, evaluation)).toBeLessThan(1);
  });

  test('layers that there are not, and models that take other inputs, are refused', async () => {
    await expect(stitch(model, model, count, 1)).rejects.toThrow('is no layer to stitch at');
    const generation = await openModel(fixture('tiny-llama'), { layout: 'generation' });
    await expect(stitch(model, generation, 0, 1)).rejects.toThrow();
  });
});
