import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../src/artifact/open.ts';
import type { Dataset } from '../../../src/calibration/dataset.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import type { Model } from '../../../src/ir/model.ts';
import { Random } from '../../../src/random.ts';
import { datasetOf, normalSamples } from '../quantize/activations/workbench.ts';
import { contextFor, distil } from './workbench.ts';

const reference = (name: string): Promise<Model> =>
  openModel(join(import.meta.dirname, '../../../fixtures/reference', name));

/** Windows of random tokens of two lengths. */
const tokens = (vocabulary: number, length = 24): Dataset => ({
  description: 'random tokens',
  length,
  fingerprint: 'random tokens',
  sample: async (index) => {
    const random = new Random(2, `window ${index}`);
    const ids = Int32Array.from({ length: index % 2 === 0 ? 12 : 9 }, () => random.integer(vocabulary));
    return { kind: 'tokens', ids, scored: new Uint8Array(ids.length).fill(1) };
  },
});

const heldOut = async (model: Model, data: Dataset, written: object): Promise<Record<string, number>> => {
  const { findings } = await distil(model, { hold_out: 0.2, batch: 4, ...written }, contextFor(model, data));
  return findings[0]!.facts as Record<string, number>;
};

describe('an encoder alone', () => {
  it('of texts learns its features with fewer layers, windows of several lengths in a batch', async () => {
    const model = await reference('bert');
    const data = tokens(Number(model.config!.vocab_size));
    const facts = await heldOut(model, data, {
      layers: [0],
      steps: 40,
      learning_rate: 3e-3,
      losses: { features: [{ student: 'last_hidden_state' }], hidden: 0.5, attention: 0.5 },
    });
    expect(facts.held_out_after).toBeLessThan(0.7 * facts.held_out_before!);
  });

  it('tells apart its samples by contrast', async () => {
    const model = await reference('bert');
    const data = tokens(Number(model.config!.vocab_size));
    const facts = await heldOut(model, data, {
      student: { config: { hidden_size: 16, num_attention_heads: 2, intermediate_size: 32 } },
      steps: 30,
      learning_rate: 3e-3,
      losses: { features: [{ student: 'last_hidden_state', loss: 'contrastive' }] },
    });
    expect(facts.held_out_after).toBeLessThan(0.9 * facts.held_out_before!);
  });

  it('of images learns its features whatever its width', async () => {
    const model = await reference('vit-model');
    const [input] = model.program.graph.inputs;
    inferShapes(model.program);
    const shape = input!.type?.kind === 'tensor' ? (input!.type.shape ?? []) : [];
    const data = datasetOf(normalSamples(input!.name, [1, ...shape.slice(1).map(Number)], 24));
    const facts = await heldOut(model, data, {
      student: { config: { hidden_size: 16, num_attention_heads: 2, intermediate_size: 32 } },
      steps: 40,
      learning_rate: 3e-3,
      losses: { features: [{ student: 'last_hidden_state' }] },
    });
    expect(facts.held_out_after).toBeLessThan(0.8 * facts.held_out_before!);
  });
});
