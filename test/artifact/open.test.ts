import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeModel } from '../../src/artifact/describe.ts';
import { openCheckpoint } from '../../src/artifact/formats/huggingface/open.ts';
import { formats } from '../../src/artifact/formats/index.ts';
import { writeOnnx } from '../../src/artifact/formats/onnx/write.ts';
import { inputFiles, openModel } from '../../src/artifact/open.ts';
import { writeArtifact } from '../../src/artifact/write.ts';
import { DerivedTensor } from '../../src/ir/tensor.ts';
import { sharedData } from '../shared.ts';
import { tinyModel, writeTinyCheckpoint } from './tiny-models.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelpress-open-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const inFolder = (...names: string[]): string[] => names.map((name) => join(folder, name));

describe('a checkpoint folder', () => {
  const files = {
    'tokenizer.json': '{}',
    'tokenizer_config.json': '{}',
    'special_tokens_map.json': '{}',
    'generation_config.json': '{"eos_token_id": 2}',
    'chat_template.jinja': 'words',
    'vocab.txt': 'a',
    'merges.txt': 'a b',
    'spiece.model': 'x',
    'preprocessor_config.json': '{}',
    'modules.json': '[]',
    '1_Pooling/config.json': '{}',
    LICENSE: 'words',
    'training_args.bin': 'x',
    'README.md': 'words',
  };

  it('is opened with its configuration and the files that belong to the model', async () => {
    await writeTinyCheckpoint(folder, files);
    const { companions, config, generationConfig, tensors } = openCheckpoint(folder);
    expect(companions.map(({ name }) => name)).toEqual(
      [...Object.keys(files), 'config.json']
        .filter((name) => name !== 'training_args.bin' && name !== 'README.md')
        .sort(),
    );
    expect(config.model_type).toBe('llama');
    expect(generationConfig).toEqual({ eos_token_id: 2 });
    expect(tensors.names.length).toBe(12);
  });

  it('is built by its family, in the layout that is asked for, without a weight being read', async () => {
    await writeTinyCheckpoint(folder);
    const scoring = await openModel(folder);
    expect(scoring.family).toBe('llama');
    expect(scoring.program.graph.inputs.map(({ name }) => name)).toEqual(['input_ids']);
    const generation = await openModel(folder, { layout: 'generation', opset: 20 });
    expect(generation.program.graph.inputs.map(({ name }) => name)).toContain('past_key_values.0.key');
    expect(generation.program.opsets.get('')).toBe(20);
  });

  it('says its family in the files that are made of it', async () => {
    await writeTinyCheckpoint(folder);
    const { program } = await openModel(folder);
    await writeOnnx(program, join(folder, 'export.onnx'));
    expect((await openModel(join(folder, 'export.onnx'))).family).toBe('llama');
  });

  it('names the files that decide what it is', async () => {
    await writeTinyCheckpoint(folder, { 'tokenizer.json': '{}', 'README.md': 'x' });
    expect(inputFiles(folder, await openModel(folder))).toEqual(
      inFolder('config.json', 'model.safetensors', 'tokenizer.json'),
    );
  });

  it('is found by the path of its weights too', async () => {
    await writeTinyCheckpoint(folder);
    expect((await openModel(join(folder, 'model.safetensors'))).family).toBe('llama');
  });

  it('with a broken config.json says line and column', async () => {
    await writeTinyCheckpoint(folder, { 'config.json': '{\n  "model_type": "llama",\n  "hidden_size": 8,,\n}' });
    await expect(openModel(folder)).rejects.toMatchObject({
      code: 'malformed',
      where: { file: join(folder, 'config.json'), line: 3, column: 20 },
    });
  });

  it('of an unknown architecture lists the known ones, and is still described', async () => {
    await writeTinyCheckpoint(folder, { 'config.json': '{"model_type": "perceiver-of-tomorrow"}' });
    await expect(openModel(folder)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('llama'),
    });
    const description = await describeModel(folder);
    expect(description.graph).toBeUndefined();
    expect(description.note).toMatch(/perceiver-of-tomorrow/);
    expect(description.byDataType.float32?.tensors).toBe(12);
  });

  it('without weights, without config.json, or with pickles only says what to do', async () => {
    writeFileSync(join(folder, 'config.json'), '{"model_type": "llama"}');
    await expect(openModel(folder)).rejects.toMatchObject({ code: 'not-found' });
    writeFileSync(join(folder, 'pytorch_model.bin'), 'x');
    await expect(openModel(folder)).rejects.toMatchObject({
      code: 'unsupported',
      hint: expect.stringContaining('safetensors'),
    });
    await expect(openModel(join(folder, 'pytorch_model.bin'))).rejects.toMatchObject({ code: 'unsupported' });
    await writeTinyCheckpoint(join(folder, 'bare'));
    rmSync(join(folder, 'bare', 'config.json'));
    await expect(openModel(join(folder, 'bare'))).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('config.json'),
    });
    await expect(openModel(join(folder, 'bare', 'model.safetensors'))).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('a path to ONNX', () => {
  const writeTiny = async (...path: string[]): Promise<string> => {
    const file = join(folder, ...path);
    mkdirSync(join(file, '..'), { recursive: true });
    await writeOnnx(tinyModel().program, file);
    return file;
  };

  it('may be the file, its folder, or a folder with onnx/model.onnx whose companions lie above', async () => {
    const file = await writeTiny('a', 'some.onnx');
    expect((await openModel(file)).origin).toBe(file);
    expect((await openModel(join(folder, 'a'))).origin).toBe(file);
    const inner = await writeTiny('b', 'onnx', 'model.onnx');
    writeFileSync(join(folder, 'b', 'config.json'), '{"model_type": "bert"}');
    const model = await openModel(join(folder, 'b'));
    expect([model.origin, model.config?.model_type]).toEqual([inner, 'bert']);
    expect(model.companions.map(({ name }) => name)).toEqual(['config.json']);
  });

  it('prefers model.onnx among several, else asks which one is meant', async () => {
    await writeTiny('x.onnx');
    await writeTiny('y.onnx');
    await expect(openModel(folder)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('x.onnx, y.onnx'),
    });
    const file = await writeTiny('model.onnx');
    expect((await openModel(folder)).origin).toBe(file);
  });

  it('prefers the checkpoint where a folder holds both, but not in an output', async () => {
    await writeTinyCheckpoint(folder);
    await writeTiny('model.onnx');
    expect((await openModel(folder)).origin).toBe(folder);
  });

  it('names its external data among the files that decide what it is', async () => {
    const tensor = new DerivedTensor('float32', [600], () => new Uint8Array(2400));
    const { program } = tinyModel();
    program.graph.addInitializer('extra', tensor);
    const file = join(folder, 'model.onnx');
    await writeOnnx(program, file, { externalData: { thresholdBytes: 2000 } });
    expect(inputFiles(file, await openModel(file))).toEqual(inFolder('model.onnx', 'model.onnx.data'));
  });

  it('that leads nowhere, or to a folder without a model', async () => {
    await expect(openModel(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(openModel(folder)).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('model.onnx'),
    });
  });
});

describe('describeModel', () => {
  it('counts what a quantized output stores, and the weights that it stands for', async () => {
    const model = tinyModel();
    const output = join(folder, 'out');
    await writeArtifact({
      output,
      inputs: [],
      model,
      formats: formats
        .filter(({ name }) => name === 'onnx-matmulnbits')
        .map((card) => ({ card, options: card.options.parse({}) })),
      facts: { version: '0.0.0', family: undefined, recipe: undefined, inputs: [], metrics: [], findings: [] },
    });
    const description = await describeModel(output);
    expect(description.graph?.quantizedWeights).toEqual([
      { name: expect.any(String), form: 'MatMulNBits', bits: 4, blockSize: 16, elements: 256 },
    ]);
    // w, b, plain, large, and the reshaped constant of the body.
    expect(description.graph?.parameters).toBe(256 + 8 + 320 + 320 + 300);
    expect(description.graph?.subgraphs).toBe(2);
    // Codes, scales and zero points of w, whose node has the role of an mlp; plain and large have none.
    expect(description.graph?.byPart.mlp?.tensors).toBe(3);
    expect(description.graph?.byPart.linear?.tensors).toBe(2);
    expect(description.manifest?.formats[0]?.name).toBe('onnx-matmulnbits');
    expect(description.files.map(({ path, role }) => [path, role])).toEqual([['model.onnx', 'model']]);
    expect(description.graph?.inputs[0]).toEqual({ name: 'x', dtype: 'float32', shape: '[batch, 32]' });
  });

  it('tells the parts of a checkpoint by the roles that its family gives', async () => {
    await writeTinyCheckpoint(folder);
    const { graph, bytes, kind } = await describeModel(folder);
    expect(kind).toBe('checkpoint');
    expect(graph?.byPart.attention?.elements).toBe(4 * 64);
    expect(graph?.byPart.mlp?.elements).toBe(3 * 96);
    expect(graph?.byPart.head?.elements).toBe(128);
    expect(bytes).toBeGreaterThan(4 * 1000);
  });

  it.skipIf(!sharedData('audio-silero-vad'))(
    'looks into the bodies of a real model (needs ../shared/data)',
    async () => {
      const { graph } = await describeModel(sharedData('audio-silero-vad', 'silero_vad.onnx') ?? '');
      expect(graph?.byPart.recurrent?.elements).toBe(264192);
      expect(graph?.operators.find(({ operator }) => operator === 'LSTM')?.count).toBe(4);
      expect(graph?.inputs.map(({ name }) => name)).toEqual(['input', 'state', 'sr']);
    },
  );
});
