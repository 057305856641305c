import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { run } from '../../src/index.ts';
import { fixture, freshFolder, writeRecipe } from '../recipe/tiny-run.ts';
import { sharedData } from '../shared.ts';
import { capture } from './capture.ts';

const folder = freshFolder();
const model = fixture('tiny-llama');
const data = `text:${fixture('tiny-llama', 'evaluation.txt')},window=32,samples=2`;

const quantized = (output: string, quantize: string, write = 'onnx-matmulnbits'): string => `
model: ${model}
output: ${output}
data:
  calibration: { text: ${fixture('tiny-llama', 'calibration.txt')}, window: 64, samples: 4 }
stages:
  - quantize: ${quantize}
write: ${write}
`;

const compare = async (other: string, ...flags: string[]) => {
  const { exitCode, out, err } = await capture(['compare', model, other, '--data', data, '--json', ...flags], folder);
  expect(err).toBe('');
  expect(exitCode).toBe(0);
  return JSON.parse(out).attribution;
};

beforeAll(async () => {
  await run(writeRecipe(folder, quantized('w2', '{ method: rtn, weights: { bits: 2, group_size: 32 } }'), 'w2.yaml'));
  await run(writeRecipe(folder, quantized('int8', '{ activations: static }', 'onnx'), 'int8.yaml'));
});

const stories = sharedData('llm-stories260k');

test.skipIf(stories === undefined)(
  'of a trained model rounded to 3 bits: the recipe that is given takes the promised part away (needs ../shared/data)',
  async () => {
    const evaluation = join(stories ?? '', 'eval/tinystories-valid-19stories.u16');
    const tokens = `tokens:${evaluation},bos=1,split=1,window=64`;
    const recipeOf = (output: string, stages: unknown): string =>
      stringify({ model: stories, output, stages, write: 'onnx-matmulnbits' });
    const weights = { bits: 3, group_size: 32 };
    await run(writeRecipe(folder, recipeOf('s3', [{ quantize: { method: 'rtn', weights } }]), 's3.yaml'));
    const divergenceOf = async (other: string, ...flags: string[]) => {
      const { out } = await capture(['compare', stories!, other, '--data', tokens, '--json', ...flags], folder);
      return JSON.parse(out).attribution;
    };
    const found = await divergenceOf('s3', '--samples', '1', '--gain', '50%');
    expect(found.keep.reached).toBe(true);
    // What falls to single weights adds up to nearly all of it, though it is far from small.
    const shares = found.sites.reduce((sum: number, { share }: { share?: number }) => sum + (share ?? 0), 0);
    expect(shares).toBeGreaterThan(0.7);
    expect(shares).toBeLessThan(1.3);
    await run(writeRecipe(folder, recipeOf('s3-kept', parse(found.recipe).stages), 's3-kept.yaml'));
    const kept = await divergenceOf('s3-kept', '--samples', '1', '--attribution', 'curvature');
    expect(1 - kept.divergence / found.divergence).toBeCloseTo(found.keep.gain, 2);
  },
);

describe('the divergence of a compressed model', () => {
  test('is followed to every weight, and a recipe with some of them in 8 bits takes the promised part away', async () => {
    const found = await compare('w2', '--gain', '60%');
    expect(found.by).toBe('measured');
    expect(found.unmatched).toEqual([]);
    expect(found.remaining).toBeLessThan(1e-6 * found.divergence);
    const shares = found.sites.flatMap(({ share }: { share?: number }) => share ?? []);
    expect(shares.length).toBeGreaterThan(10);
    const { keep } = found;
    expect(keep.reached).toBe(true);
    expect(keep.gain).toBeGreaterThanOrEqual(0.6);
    expect(keep.sites.length).toBeLessThan(shares.length);
    const stages = parse(found.recipe).stages;
    expect(stages[0].quantize).toMatchObject({ method: 'rtn', weights: { bits: 2, group_size: 32 } });
    writeFileSync(join(folder, 'kept.yaml'), stringify({ model, output: 'kept', stages, write: 'onnx-matmulnbits' }));
    await run(join(folder, 'kept.yaml'));
    const kept = await compare('kept');
    expect(1 - kept.divergence / found.divergence).toBeCloseTo(keep.gain, 3);
  });

  test('is followed through integer arithmetic too: what is to be kept is left out of it', async () => {
    const found = await compare('int8', '--samples', '1');
    expect(found.unmatched).toEqual([]);
    expect(found.samples).toBe(1);
    expect(found.sites.every(({ snr_db }: { snr_db: number }) => snr_db > 10)).toBe(true);
    const { quantize } = parse(found.recipe).stages[0];
    expect(quantize).toEqual({ activations: 'static', ignore: expect.arrayContaining([found.keep.sites[0].site]) });
  });

  test('is told as a table, or not at all', async () => {
    const { out } = await capture(['compare', model, 'w2', '--data', data, '--samples', '1'], folder);
    expect(out).toMatch(/Divergence of b from a: [\d.]+ nats an item over 1 samples/);
    expect(out).toMatch(/site +output +cosine +alone +restored +share/);
    expect(await compare('w2', '--attribution', 'none')).toBeUndefined();
  });

  test.each([
    [['--gain', '150%'], 'expected a share of the divergence'],
    [['--gain', 'half'], 'expected a share of the divergence'],
    [['--samples', '0'], 'expected a whole number of samples'],
    [['--attribution', 'guess'], 'expected auto, measured, curvature, none, found "guess"'],
  ])('%j is refused', async (flags, message) => {
    const { exitCode, err } = await capture(['compare', model, 'w2', '--data', data, ...flags], folder);
    expect(exitCode).toBe(2);
    expect(err).toContain(message);
  });
});
