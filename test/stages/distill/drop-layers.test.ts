import { describe, expect, it } from 'vitest';
import { findSites } from '../../../src/analysis/sites.ts';
import { openModel } from '../../../src/artifact/open.ts';
import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { bindingOf, bindSample } from '../../../src/execution/feeds.ts';
import type { Model } from '../../../src/ir/model.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { dropLayers } from '../../../src/stages/distill/drop-layers.ts';
import { runProgram } from '../../ir/run.ts';
import { fixture } from '../../recipe/tiny-run.ts';
import { modelOf } from '../quantize/activations/workbench.ts';

const logitsOf = async ({ program }: Model): Promise<NumericArray> => {
  const ids = Int32Array.of(1, 5, 9, 3, 7);
  const feeds = bindSample({ kind: 'tokens', ids, scored: new Uint8Array(5) }, bindingOf(program), 'test');
  return (await runProgram(program, feeds)).get('logits')!;
};

describe.each(['scoring', 'generation'] as const)('leaving out layers of a graph for %s', (layout) => {
  const open = (): Promise<Model> => openModel(fixture('tiny-llama'), { layout });

  it('keeps a valid graph, numbered anew, with as many caches as layers', async () => {
    const cut = dropLayers(await open(), [0, 2]);
    expect(verify(cut.program)).toEqual([]);
    expect([...new Set(findSites(cut.program).map(({ block }) => block))]).toEqual([undefined, 0, 1]);
    expect(cut.config).toMatchObject({ num_hidden_layers: 2 });
    const presents = cut.program.graph.outputs.map(({ name }) => name).filter((name) => name.startsWith('present'));
    const expected = ['present.0.key', 'present.0.value', 'present.1.key', 'present.1.value'];
    expect(presents).toEqual(layout === 'generation' ? expected : []);
    const pasts = cut.program.graph.inputs.filter(({ name }) => name.startsWith('past_key_values'));
    expect(pasts).toHaveLength(layout === 'generation' ? 4 : 0);
  });

  it('of those after the kept ones is leaving them out one after the other', async () => {
    const model = await open();
    const once = await logitsOf(dropLayers(model, [1]));
    const twice = await logitsOf(dropLayers(dropLayers(model, [0, 1]), [1]));
    expect(once).toEqual(twice);
    expect(once).not.toEqual(await logitsOf(dropLayers(model, [0])));
  });

  it('of none changes nothing', async () => {
    const model = await open();
    expect(await logitsOf(dropLayers(model, [0, 1, 2]))).toEqual(await logitsOf(model));
  });
});

describe('leaving out layers', () => {
  it.each([[[0, 3]], [[1, 0]], [[1, 1]]])('refuses %j of a model of three', async (kept) => {
    const model = await openModel(fixture('tiny-llama'));
    expect(() => dropLayers(model, kept)).toThrow(/layers 0 to 2/);
  });

  it('refuses graphs whose layers are not known', () => {
    const program = parseProgram(
      'program opset=21\ngraph g(x: float32[2, 4]) -> (y) {\n  w: float32[4, 4] = random(seed=1)\n  y = MatMul(x, w)\n}\n',
    );
    expect(() => dropLayers(modelOf(program), [0])).toThrow(/not known/);
  });
});
