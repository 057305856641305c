import { describe, expect, test } from 'vitest';
import { findSites } from '../../src/analysis/sites.ts';
import type { TensorSource } from '../../src/families/family.ts';
import { buildProgram, families, unusedTensors } from '../../src/families/index.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { blockKey } from '../../src/ir/model.ts';
import { DerivedTensor } from '../../src/ir/tensor.ts';
import { buildGolden, goldenNames, isDecoder, openGolden } from './golden.ts';

const goldens = goldenNames.map(openGolden);

/** The same tensors, but reading any of them fails. */
const unreadable = (source: TensorSource): TensorSource => ({
  ...source,
  get: (name) => {
    const { dtype, shape } = source.get(name);
    return new DerivedTensor(dtype, shape, () => {
      throw new Error(`${name} was read`);
    });
  },
});

describe.each(goldens)('the graph of $name', (golden) => {
  const { config, tensors } = golden.checkpoint;

  test('uses every tensor of the checkpoint', () => {
    expect(unusedTensors(buildGolden(golden, { pooler: true }))).toEqual([]);
  });

  test('is built without reading a weight', () => {
    expect(() => buildProgram(config, unreadable(tensors))).not.toThrow();
  });

  test('has a role on every weight product, and names that are module paths of the checkpoint', () => {
    const program = buildGolden(golden, { pooler: true });
    const sites = findSites(program);
    expect(sites.length).toBeGreaterThan(4);
    for (const { name, role } of sites) {
      expect(role, name).toBeDefined();
      expect(name).toMatch(/^\w+(\.\w+)*$/);
    }
  });

  test('numbers its blocks from 0, and gives every operator between the first and the last to one', () => {
    const program = buildGolden(golden, { pooler: true });
    const blocks = program.graph.nodes.map((node) => node.metadata.get(blockKey));
    const first = blocks.findIndex((block) => block !== undefined);
    const last = blocks.findLastIndex((block) => block !== undefined);
    const inside = blocks.slice(first, last + 1).map(Number);
    expect(inside).toEqual(inside.toSorted((a, b) => a - b));
    const layers = Number(config.num_hidden_layers ?? config.n_layer ?? config.n_layers);
    expect(new Set(inside)).toEqual(new Set(Array.from({ length: layers }, (_, index) => index)));
  });

  test.each([
    ['standard operators', { opset: 21 }],
    ['the newest operator set', { opset: 24 }],
    ['the generation layout', { layout: 'generation' }],
  ] as const)('agrees with shape inference in %s', (_title, options) => {
    const program = buildGolden(golden, options);
    const report = inferShapes(program);
    expect(report.unknownOperators).toEqual([]);
    expect(report.problems).toEqual([]);
    expect(report.contradictions).toEqual([]);
  });

  test('holds an embedding that is also the head once', () => {
    const program = buildGolden(golden);
    const names = [...program.graph.initializers].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const embeddings = names.filter((name) => /(embed_tokens|wte|word_embeddings)\.weight$/.test(name));
    if (config.vocab_size) expect(embeddings).toHaveLength(1);
  });
});

test('names of values and nodes are unique', () => {
  for (const golden of goldens) {
    const { nodes, inputs, initializers } = buildGolden(golden, { layout: 'generation' }).graph;
    const values = [...inputs, ...initializers, ...nodes.flatMap(({ outputs }) => outputs)].map((value) => value?.name);
    expect(new Set(values).size).toBe(values.length);
    expect(new Set(nodes.map(({ name }) => name)).size).toBe(nodes.length);
  }
});

test('decoders take and give what transformers.js feeds and reads', () => {
  const golden = openGolden('llama-grouped-bias');
  const { inputs, outputs } = buildGolden(golden, { layout: 'generation' }).graph;
  const cache = (prefix: string): string[] =>
    [0, 1].flatMap((layer) => [`${prefix}.${layer}.key`, `${prefix}.${layer}.value`]);
  expect(inputs.map(({ name }) => name)).toEqual([
    'input_ids',
    'attention_mask',
    'position_ids',
    ...cache('past_key_values'),
  ]);
  expect(outputs.map(({ name }) => name)).toEqual(['logits', ...cache('present')]);
  const past = inputs[3]?.type;
  // The client looks the batch up by this name and takes every other name for 0.
  expect(past?.kind === 'tensor' && past.shape).toEqual(['batch_size', 2, 'past_sequence_length', 6]);
});

test('every model type is in one family only', () => {
  const types = families.flatMap(({ modelTypes }) => modelTypes);
  expect(new Set(types).size).toBe(types.length);
});

test('every family and every decoder variant has a golden', () => {
  const covered = new Set(goldens.map(({ checkpoint }) => checkpoint.config.model_type));
  // XLM-RoBERTa and CamemBERT are RoBERTa under another name.
  const known = families.flatMap(({ modelTypes }) => modelTypes).filter((type) => type !== 'camembert');
  expect(known.filter((type) => !covered.has(type))).toEqual([]);
  expect(goldens.filter(isDecoder).length).toBeGreaterThan(20);
});
