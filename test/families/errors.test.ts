import { describe, expect, test } from 'vitest';
import { CompressError, CompressErrors, formatError } from '../../src/errors.ts';
import type { JsonObject, TensorSource } from '../../src/families/family.ts';
import { buildProgram, unusedTensors } from '../../src/families/index.ts';
import { floatTensor, intTensor } from '../../src/ir/read.ts';
import type { Tensor } from '../../src/ir/tensor.ts';
import { buildGolden, largestDifference, openGolden, runProgram } from './golden.ts';

const llama = openGolden('llama').checkpoint;

/** The checkpoint's tensors with some replaced, added or (undefined) taken away. */
const changed = (source: TensorSource, changes: Readonly<Record<string, Tensor | undefined>>): TensorSource => {
  const names = [...new Set([...source.names, ...Object.keys(changes)])].filter(
    (name) => !(name in changes) || changes[name] !== undefined,
  );
  return { ...source, names, has: (name) => names.includes(name), get: (name) => changes[name] ?? source.get(name) };
};

const problemsOf = (config: JsonObject, tensors: TensorSource = llama.tensors): CompressError[] => {
  try {
    buildProgram(config, tensors);
  } catch (error) {
    if (error instanceof CompressErrors) return [...error.errors];
    if (error instanceof CompressError) return [error];
    throw error;
  }
  throw new Error('nothing was wrong');
};

const without = (config: JsonObject, ...keys: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));

describe('an architecture that is not known', () => {
  test('is refused with the known ones and with what still works', () => {
    const [problem] = problemsOf({ ...llama.config, model_type: 'mamba' });
    const text = formatError(problem);
    expect(problem?.code).toBe('unsupported');
    expect(problem?.where.key).toBe('model_type');
    for (const known of ['mamba', 'llama', 'gpt2', 'bert', 'vit', 'mixtral', '.onnx']) expect(text).toContain(known);
  });

  test('is told from a configuration without model_type', () => {
    expect(problemsOf(without(llama.config, 'model_type'))[0]?.message).toMatch(/model_type is missing/);
    expect(problemsOf({ ...llama.config, model_type: 7 })[0]?.code).toBe('malformed');
  });

  test('may be a known one with another head', () => {
    const [problem] = problemsOf({ ...llama.config, architectures: ['LlamaForSequenceClassification'] });
    expect(problem?.code).toBe('unsupported');
    expect(problem?.message).toContain('LlamaForSequenceClassification');
  });
});

describe('a configuration', () => {
  test('reports every missing key with the file', () => {
    const problems = problemsOf(without(llama.config, 'hidden_size', 'vocab_size'));
    expect(problems.map(({ where }) => where.key).sort()).toEqual(['hidden_size', 'vocab_size']);
    for (const { where, message } of problems) {
      expect(where.file).toMatch(/llama.config\.json$/);
      expect(message).toMatch(/missing/);
    }
  });

  test('reports a value of the wrong kind with what was found', () => {
    const [problem] = problemsOf({ ...llama.config, num_hidden_layers: 'two' });
    expect(problem?.where.key).toBe('num_hidden_layers');
    expect(problem?.message).toContain('"two"');
  });

  test.each([
    [{ num_key_value_heads: 3 }, 'num_key_value_heads'],
    [{ hidden_act: 'maxout' }, 'hidden_act'],
    [{ head_dim: 5 }, 'head_dim'],
    [{ rope_parameters: { rope_type: 'spiral', rope_theta: 1 } }, 'rope_parameters.rope_type'],
    [{ rope_parameters: { rope_type: 'linear', rope_theta: 1 } }, 'rope_parameters.factor'],
    [
      { rope_parameters: { rope_type: 'longrope', short_factor: [1], long_factor: [1, 2] } },
      'rope_parameters.short_factor',
    ],
    [{ quantization_config: { bits: 4 } }, 'quantization_config'],
  ])('%j is refused at its key', (change, key) => {
    expect(problemsOf({ ...llama.config, ...change })[0]?.where.key).toBe(key);
  });

  test.each([
    ['bert', { is_decoder: true }, 'is_decoder'],
    ['bert', { position_embedding_type: 'relative_key' }, 'position_embedding_type'],
    ['bert', { num_attention_heads: 3 }, 'num_attention_heads'],
    ['gpt2', { add_cross_attention: true }, 'add_cross_attention'],
    ['vit', { patch_size: 16 }, 'patch_size'],
    ['gemma3', { use_bidirectional_attention: true }, 'use_bidirectional_attention'],
  ])('of %s with %j is refused at its key', (name, change, key) => {
    const { config, tensors } = openGolden(name).checkpoint;
    expect(problemsOf({ ...config, ...change }, tensors)[0]?.where.key).toBe(key);
  });

  test('is refused for an operator set that cannot be written', () => {
    expect(() => buildProgram(llama.config, llama.tensors, { opset: 12 })).toThrow(/operator sets 18 to 24, not 12/);
  });
});

describe('the tensors of a checkpoint', () => {
  const gate = 'model.layers.1.mlp.gate_proj.weight';

  test('missing ones are named together, and how many more there are', () => {
    const two = problemsOf(llama.config, changed(llama.tensors, { [gate]: undefined, 'lm_head.weight': undefined }));
    expect(two).toHaveLength(1);
    expect(two[0]?.code).toBe('not-found');
    expect(two[0]?.message).toContain(`2 tensors: ${gate}, lm_head.weight`);
    const all = changed(llama.tensors, Object.fromEntries(llama.tensors.names.map((name) => [name, undefined])));
    expect(problemsOf(llama.config, all)[0]?.message).toMatch(/and \d+ more$/);
  });

  test('an ill-shaped one is reported with both shapes and its name', () => {
    const source = changed(llama.tensors, { [gate]: floatTensor([24, 15], new Float32Array(24 * 15)) });
    const [problem] = problemsOf(llama.config, source);
    expect(problem?.code).toBe('mismatch');
    expect(problem?.where.tensor).toBe(gate);
    expect(problem?.message).toContain('[24, 16]');
    expect(problem?.message).toContain('[24, 15]');
  });

  test('one of integers is reported as quantized', () => {
    const source = changed(llama.tensors, { [gate]: intTensor([24, 16], new Array(24 * 16).fill(0), 'int8') });
    expect(problemsOf(llama.config, source)[0]?.message).toContain('int8');
  });

  test('ones that the graph has no use for are listed, buffers aside', () => {
    const source = changed(llama.tensors, {
      'model.layers.0.self_attn.adapter.weight': floatTensor([1], [0]),
      'model.layers.0.self_attn.rotary_emb.inv_freq': floatTensor([2], [0, 0]),
    });
    expect(unusedTensors(buildProgram(llama.config, source))).toEqual(['model.layers.0.self_attn.adapter.weight']);
  });
});

describe('both generations of configuration files are read', () => {
  test('rope_theta and torch_dtype of transformers 4 mean what rope_parameters and dtype of 5 mean', async () => {
    const golden = openGolden('llama-linear');
    const { config, tensors } = golden.checkpoint;
    const old = {
      ...without(config, 'rope_parameters', 'dtype'),
      rope_theta: 100,
      rope_scaling: { type: 'linear', factor: 3 },
      torch_dtype: 'float16',
    };
    const results = await runProgram(buildProgram(old, tensors), golden.arrays);
    expect(largestDifference(results.get('logits'), golden.arrays.get('logits'))).toBeLessThan(1e-4);
  });

  test('gain and shift of layer norms may be called gamma and beta', async () => {
    const golden = openGolden('bert');
    const { config, tensors } = golden.checkpoint;
    const oldName = (name: string): string =>
      name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta');
    const names = new Map(tensors.names.map((name) => [oldName(name), name]));
    const source: TensorSource = {
      names: [...names.keys()],
      has: (name) => names.has(name),
      get: (name) => tensors.get(names.get(name)!),
    };
    const results = await runProgram(buildProgram(config, source), golden.arrays);
    const wanted = golden.arrays.get('last_hidden_state');
    expect(largestDifference(results.get('last_hidden_state'), wanted)).toBeLessThan(1e-4);
  });
});

test('a graph in float16 stays near the one in float32', async () => {
  for (const name of ['llama-grouped-bias', 'gemma2', 'mixtral', 'gpt2', 'bert', 'vit']) {
    const golden = openGolden(name);
    const results = await runProgram(buildGolden(golden, { dtype: 'float16' }), golden.arrays);
    const output = golden.arrays.has('logits') ? 'logits' : 'last_hidden_state';
    expect(results.get(output)?.dtype).toBe('float32');
    expect(largestDifference(results.get(output), golden.arrays.get(output)), name).toBeLessThan(0.05);
  }
});
