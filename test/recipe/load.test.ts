import { describe, expect, test } from 'vitest';
import { CompressErrors } from '../../src/errors.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import type { Recipe } from '../../src/recipe/recipe.ts';
import { parseRecipe } from '../../src/recipe/source.ts';

const load = (text: string): Recipe => loadRecipe(parseRecipe(text, 'r.yaml'), '/base');

/** `line:column message | hint` of every problem. */
const problemsOf = (text: string): string[] => {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof CompressErrors)) throw error;
    return error.errors.map(
      ({ where, message, hint }) => `${where.line}:${where.column} ${message}${hint ? ` | ${hint}` : ''}`,
    );
  }
  return [];
};

describe('a recipe', () => {
  test('needs a model and an output; everything else has a default', () => {
    const recipe = load('model: a.onnx\noutput: out\n');
    expect(recipe.model).toEqual({ path: '/base/a.onnx', build: {} });
    expect(recipe.output).toBe('/base/out');
    expect(recipe.formats.map(({ name, options }) => [name, options])).toEqual([
      ['onnx', { compact: false, external_data: 'auto' }],
    ]);
    expect(recipe).toMatchObject({ seed: 0, stages: [], gates: [], calibration: [], evaluation: [], strict: false });
    expect(recipe.maxMemoryBytes).toBe(2 ** 31);
    expect(recipe.threads).toBeGreaterThan(0);
  });

  test('names stages, formats and gates by a word or by a map with one key', () => {
    const recipe = load(`
model: { path: /m, layout: generation, opset: 20 }
output: out
max_memory: 500MB
stages:
  - quantize
  - quantize: { weights: { bits: 8, block_size: -1 } }
write: [onnx, { onnx-matmulnbits: { accuracy_level: 4 } }]
gates:
  - size: { ratio: 0.5 }
`);
    expect(recipe.model).toEqual({ path: '/m', build: { layout: 'generation', opset: 20 } });
    expect(recipe.maxMemoryBytes).toBe(500_000_000);
    expect(recipe.stages.map(({ name }) => name)).toEqual(['quantize', 'quantize']);
    expect(recipe.stages[1]?.options).toMatchObject({ weights: { bits: 8, groupSize: 'row' } });
    expect(recipe.formats.map(({ name }) => name)).toEqual(['onnx', 'onnx-matmulnbits']);
    expect(recipe.gates).toEqual([
      { metric: 'size', bounds: { ratio: 0.5 }, where: expect.objectContaining({ line: 10, column: 5 }) },
    ]);
  });

  test('takes one dataset or several, written as maps or as one text', () => {
    const recipe = load(`
model: m
output: out
data:
  calibration: tokens:train.u16,window=8,samples=4
  evaluation:
    - { name: stories, tokens: a/valid.u16, window: 8 }
    - tokens: b/valid.u16
    - tokens: c/valid.u16
`);
    expect(recipe.calibration.map(({ name }) => name)).toEqual(['train']);
    expect(recipe.calibration[0]?.options).toMatchObject({ tokens: 'train.u16', window: 8 });
    expect(recipe.evaluation.map(({ name }) => name)).toEqual(['stories', 'valid', 'valid-2']);
  });
});

describe('what is wrong with a recipe', () => {
  test('is told all at once, each with its place and the nearest known name', () => {
    expect(
      problemsOf(`model: m
otput: out
seed: -3
data:
  calibration: { txet: corpus.txt }
  evaluation: { text: corpus.txt, windw: 512 }
stages:
  - quantise: { weights: { bits: 4 } }
  - quantize:
      weights: { bits: 5, group_sise: 32 }
    method: rtn
  - quantize: { methode: rtn }
write: [onxx]
metrics: [perplexty]
gates:
  - perplexity: { increese: 2% }
  - perplexity: { increase: two }
  - acuracy: { drop: 1% }
max_memory: lots
`),
    ).toEqual([
      "1:1 the key 'output' is missing",
      "2:1 unknown key 'otput' | Did you mean 'output'?",
      '3:7 expected at least 0, found -3',
      "5:18 there is no kind of data 'txet' | Did you mean 'text'?",
      "6:35 unknown key 'windw' | Did you mean 'window'?",
      "8:5 there is no stage 'quantise' | Did you mean 'quantize'?",
      '9:5 a stage is a map with one key, and this one has quantize, method | Start every stage with a dash of its own, and indent its options below its name.',
      "12:17 unknown key 'methode' | Did you mean 'method'?",
      "13:9 there is no format 'onxx' | Did you mean 'onnx'?",
      "14:11 there is no metric 'perplexty' | Did you mean 'perplexity'?",
      "16:19 unknown key 'increese' | Did you mean 'increase'?",
      '17:29 expected a number or a percentage like 2%, found "two"',
      "18:5 there is no gate 'acuracy' | Did you mean 'accuracy'?",
      '19:13 expected a size of at least 1MiB, like 2GiB, found "lots"',
    ]);
  });

  test('options of a stage name the values that are possible', () => {
    const [problem] = problemsOf('model: m\noutput: o\nstages:\n  - quantize: { weights: { bits: 5 } }\n');
    expect(problem).toBe('4:34 expected auto, 2, 3, 4 or 8, found 5');
  });

  test('problems inside a dataset text are placed at the text', () => {
    expect(problemsOf('model: m\noutput: o\ndata:\n  evaluation: text:a.txt,windw=4\n')).toEqual([
      "4:15 unknown key 'windw' | Did you mean 'window'?",
    ]);
    expect(problemsOf('model: m\noutput: o\ndata:\n  evaluation: corpus\n')[0]).toMatch(
      /^4:15 cannot tell what kind of data/,
    );
  });

  test('gates and formats that name what is not there', () => {
    expect(
      problemsOf(
        'model: m\noutput: o\ndata: { evaluation: { name: stories, text: a.txt } }\ngates: [{ perplexity: { max: 6, dataset: storys, format: onnx-qdq } }]\nwrite: [onnx, onnx]\n',
      ),
    ).toEqual([
      "4:42 there is no evaluation dataset 'storys' | Did you mean 'stories'?",
      "4:58 there is no format in write 'onnx-qdq' | Known: onnx.",
      "5:15 the format 'onnx' is asked for twice",
    ]);
  });

  test('something that is no recipe at all', () => {
    expect(problemsOf('- a\n- b\n')).toEqual(['1:1 expected a map of keys, found a list']);
    expect(problemsOf('')).toEqual(["1:1 the key 'model' is missing", "1:1 the key 'output' is missing"]);
  });
});
