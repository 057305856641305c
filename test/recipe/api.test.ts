import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CompressError, evaluate, exitCodeOf, open, plan, quantize } from '../../src/index.ts';
import { fixture, freshFolder } from './tiny-run.ts';

const images = { arrays: fixture('tiny-cnn', 'evaluation.npz') };

describe('the library', () => {
  test('quantizes a model and measures the result', async () => {
    const directory = freshFolder();
    const report = await quantize(
      {
        model: fixture('tiny-cnn', 'model.onnx'),
        output: 'w8',
        quantize: { weights: { bits: 8, group_size: 'row' } },
        gates: [{ size: { ratio: 0.5 } }],
      },
      { directory },
    );
    expect(report.outcome).toBe('done');
    const request = {
      model: join(directory, 'w8'),
      reference: fixture('tiny-cnn', 'model.onnx'),
      data: [images],
      metrics: ['accuracy', 'kl'],
    };
    const results = await evaluate(request);
    expect(results.map(({ metric }) => metric)).toEqual(['accuracy', 'kl', 'size']);
    expect(results[0]?.value).toBeGreaterThan(0.8);
    expect(results[1]?.value).toBeLessThan(0.01);
    expect((await open(join(directory, 'w8'))).program.graph.outputs.length).toBe(1);
  });

  test('plans a recipe given as an object', async () => {
    const report = await plan({ model: fixture('tiny-llama'), output: join(freshFolder(), 'x'), stages: ['quantize'] });
    expect(report.model.family).toBe('llama');
    expect(report.stages[0]?.sites.length).toBeGreaterThan(20);
    expect(report.predictedBytes).toBeLessThan(report.model.constantBytes / 3);
  });

  test('says what training data are for: stages that train need no others, and without one they are not used', async () => {
    const text = { text: fixture('tiny-llama', 'calibration.txt'), window: 32, samples: 20 };
    const common = { model: fixture('tiny-llama'), output: join(freshFolder(), 'x'), data: { training: text } };
    const used = await plan({ ...common, stages: ['distill'] });
    expect(used.training).toMatchObject([{ samples: 20 }]);
    expect(used.warnings).not.toContain('no stage trains: the training data is not used');
    const idle = await plan({ ...common, stages: [{ quantize: { method: 'rtn' } }] });
    expect(idle.warnings).toContain('no stage trains: the training data is not used');
    await expect(plan({ ...common, stages: [{ quantize: { method: 'gptq' } }] })).rejects.toThrow(/calibration data/);
  });

  test('throws errors that say which key is wrong', async () => {
    const wrong = plan({ model: 'm', output: 'o', stages: [{ quantize: { weights: { bits: 5 } } }] }).catch(
      (error: unknown) => error,
    );
    const error = await wrong;
    expect(error).toBeInstanceOf(CompressError);
    expect(error).toMatchObject({ code: 'recipe', where: { key: 'stages.0.quantize.weights.bits' } });
    expect(exitCodeOf(error)).toBe(2);
  });
});
