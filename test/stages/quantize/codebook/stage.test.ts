import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadSnapshot, saveSnapshot } from '../../../../src/artifact/snapshot.ts';
import { plan, run } from '../../../../src/index.ts';
import { CodebookTensor } from '../../../../src/ir/codebook-tensor.ts';
import { constantOf } from '../../../../src/ir/walk.ts';
import { fixture, freshFolder, writeRecipe } from '../../../recipe/tiny-run.ts';
import { modelOf, quantize } from '../weights/context.ts';

const folder = freshFolder();

const recipe = (output: string, stage: string): string => `
model: ${fixture('tiny-llama')}
output: ${output}
data:
  calibration: { text: ${fixture('tiny-llama', 'calibration.txt')}, window: 64, samples: 8 }
  evaluation: { text: ${fixture('tiny-llama', 'evaluation.txt')}, window: 64, samples: 2 }
stages:
  - quantize: ${stage}
write: onnx
`;

const network = () =>
  modelOf(`program opset=21
graph g(x: float32[N, 24]) -> (scores) {
  w: float32[24, 16] = random(seed=1)
  u: float32[16, 5] = random(seed=2)
  a = MatMul(x, w) { name: "first" }
  b = Tanh(a)
  scores: float32[N, 5] = MatMul(b, u) { name: "last" }
}
`);

describe('tables of rows', () => {
  test('make a file small on disk, and what is measured on it is what the tables stand for', async () => {
    const ignore = 'ignore: ["role:embedding", "role:head"]';
    const kl = new Map<string, number>();
    for (const [name, stage] of [
      ['tables', `{ weights: { codebook: kmeans, bits: 3 }, ${ignore} }`],
      ['grid', `{ method: gptq, weights: { bits: 3, group_size: row }, ${ignore} }`],
    ] as const) {
      await run(writeRecipe(folder, recipe(name, stage), `${name}.yaml`));
      const report = JSON.parse(readFileSync(join(folder, name, 'report.json'), 'utf8'));
      kl.set(
        name,
        report.metrics.after.find(({ result }: { result: { metric: string } }) => result.metric === 'kl').result.value,
      );
    }
    expect(kl.get('tables')!).toBeLessThan(kl.get('grid')!);
    expect(statSync(join(folder, 'tables', 'model.onnx')).size).toBeLessThan(
      0.6 * statSync(fixture('tiny-llama', 'model.safetensors')).size,
    );
  });

  test('are kept by snapshots of a stage', async () => {
    const { model } = await quantize(network(), { weights: { codebook: 'kmeans', bits: 2 } });
    const weights = (of: typeof model) =>
      [...of.program.graph.initializers].map(constantOf).filter((tensor) => tensor instanceof CodebookTensor);
    expect(weights(model)).toHaveLength(2);
    await saveSnapshot(model, folder);
    expect(weights(loadSnapshot(folder)).map(({ facts }) => facts)).toEqual(weights(model).map(({ facts }) => facts));
  });

  test('without calibration data are the best for the weights, which is said', async () => {
    const { findings, events } = await quantize(network(), { weights: { codebook: 'kmeans', bits: 4 } });
    expect(findings.map(({ text }) => text)).toEqual([
      'without calibration data every input counts the same in the tables',
    ]);
    const errors = events.flatMap((event) => (event.type === 'site-finished' ? [event.facts.weight_error] : []));
    expect(errors).toHaveLength(2);
    for (const error of errors) expect(error).toBeLessThan(0.02);
  });

  test('are planned with the bytes of codes and tables', async () => {
    const { stages } = await plan(
      writeRecipe(folder, recipe('planned', '{ weights: { codebook: kmeans, bits: 2 } }'), 'p.yaml'),
    );
    for (const { action, rows, columns, bytesAfter } of stages[0]!.sites.filter(({ action }) => action !== 'kept'))
      if (bytesAfter > 0) {
        expect(action).toBe('tables of 4 entries, one a row');
        expect(bytesAfter).toBe(Math.ceil((rows * columns) / 4) + rows * 8);
      }
  });

  test.each([
    ['{ codebook: kmeans, bits: 8 }', 'tables of kmeans have 2, 3 or 4 bits'],
    ['{ codebook: nf4, bits: 3 }', 'tables of nf4 have 4 bits'],
    ['{ codebook: kmeans, bits: 3, group_size: 32 }', '"group_size" has no meaning together with "codebook"'],
  ])('%s is refused', async (weights, message) => {
    const path = writeRecipe(folder, recipe('odd', `{ weights: ${weights} }`), 'odd.yaml');
    await expect(plan(path)).rejects.toThrow(message);
  });

  test('are for whole stages, and have no method', async () => {
    const method = writeRecipe(folder, recipe('odd', '{ method: gptq, weights: { codebook: kmeans } }'), 'odd.yaml');
    await expect(plan(method)).rejects.toThrow('"method" has no meaning together with "codebook"');
    const override = '{ overrides: [{ match: "*", weights: { codebook: kmeans } }] }';
    await expect(plan(writeRecipe(folder, recipe('odd', override), 'odd.yaml'))).rejects.toThrow(
      '"codebook" has a meaning only for all weights of a stage',
    );
  });
});
