import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { tensorflowJsFormat } from '../../../../src/artifact/formats/tensorflowjs/card.ts';
import { inputFiles, openModel } from '../../../../src/artifact/open.ts';
import type { Model } from '../../../../src/ir/model.ts';
import { floatTensor, readFloats } from '../../../../src/ir/read.ts';
import { capture } from '../../../cli/capture.ts';
import { inputsOf, layers, loadModel, predict, randomise, saveModel, tf } from './reference.ts';

let root: string;
let folder: string;
let model: layers.LayersModel;
let count = 0;
const L = layers.layers;

const made = (units: number): layers.LayersModel =>
  layers.sequential({
    layers: [
      L.dense({ inputShape: [8], units, activation: 'tanh', name: 'first' }),
      L.dense({ units: 4, name: 'scores' }),
    ],
  });

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'modelpress-tfjs-files-'));
  await tf.setBackend('cpu');
  model = made(6);
  randomise(model, 1);
});
beforeEach(async () => {
  folder = await saveModel(model, join(root, `model-${count++}`), 100);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const json = () => JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8'));
const rewrite = (change: (value: ReturnType<typeof json>) => void): void => {
  const value = json();
  change(value);
  writeFileSync(join(folder, 'model.json'), JSON.stringify(value));
};

const write = async (from: Model, options: Partial<{ weights: string; shard_bytes: number }> = {}): Promise<string> => {
  const directory = join(root, `written-${count++}`);
  mkdirSync(directory);
  await tensorflowJsFormat.write(from, directory, tensorflowJsFormat.options.parse(options), {});
  return directory;
};

const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, index) => Math.abs(value - b[index]!)));

describe('a model of TensorFlow.js layers', () => {
  test('is opened by its folder and by its model.json; all its shards are its files', async () => {
    const opened = await openModel(folder);
    expect((await openModel(join(folder, 'model.json'))).program.graph.nodes.length).toBe(
      opened.program.graph.nodes.length,
    );
    const shards = json().weightsManifest[0].paths.map((name: string) => join(folder, name));
    expect(shards.length).toBeGreaterThan(2);
    expect(inputFiles(folder, opened)).toEqual([...shards, join(folder, 'model.json')].sort());
  });

  test.each([
    ['float16', 1e-3, 2],
    ['uint16', 1e-4, 2],
    ['uint8', 2e-2, 1],
  ])(
    'is written with %s weights that TensorFlow.js loads and that are read again',
    async (weights, tolerance, bytes) => {
      const written = await write(await openModel(folder), { weights });
      const inputs = inputsOf(model, 2);
      const [wanted] = predict(model, inputs);
      const loaded = await loadModel(written);
      const [found] = predict(loaded, inputs);
      expect(largest(found!.data as Float32Array, wanted!.data as Float32Array)).toBeLessThan(tolerance);
      const again = await openModel(written);
      const kernel = [...again.program.graph.initializers].find(({ name }) => name === 'first/kernel')!;
      expect(largest(readFloats(kernel.tensor!), loaded.getWeights()[0]!.dataSync())).toBeLessThan(1e-6);
      const shard = JSON.parse(readFileSync(join(written, 'model.json'), 'utf8')).weightsManifest[0].paths[0];
      expect(readFileSync(join(written, shard)).byteLength).toBe((8 * 6 + 6 + 6 * 4 + 4) * bytes);
    },
  );

  test('zeros stay zeros in integers', async () => {
    const opened = await openModel(folder);
    const kernel = [...opened.program.graph.initializers].find(({ name }) => name === 'first/kernel')!;
    const numbers = readFloats(kernel.tensor!).map((number, index) => (index % 3 === 0 ? 0 : number));
    kernel.tensor = floatTensor(kernel.tensor!.shape, numbers);
    const loaded = await loadModel(await write(opened, { weights: 'uint8' }));
    loaded
      .getWeights()[0]!
      .dataSync()
      .forEach((number, index) => {
        if (index % 3 === 0) expect(Math.abs(number)).toBeLessThan(1e-7);
      });
  });

  test('says which part of the graph belongs to no layer', async () => {
    const opened = await openModel(folder);
    opened.program.graph.nodes[0]!.op = 'Gemm';
    await expect(write(opened)).rejects.toThrow(
      /not that of its layers any more: Gemm \(first\/MatMul\) belongs to none/,
    );
  });

  test('says which weight has another size than its layer', async () => {
    const opened = await openModel(folder);
    const kernel = [...opened.program.graph.initializers].find(({ name }) => name === 'first/kernel')!;
    kernel.tensor = floatTensor([8, 5], new Float32Array(40));
    await expect(write(opened)).rejects.toThrow(
      'the weight first/kernel has shape [8, 5] in the graph, its layer wants [8, 6]',
    );
  });

  test('cannot be made of a graph that was never layers', async () => {
    const opened = await openModel(folder);
    opened.program.metadata.clear();
    await expect(write(opened)).rejects.toThrow('was not read from TensorFlow.js layers');
  });
});

describe('files of TensorFlow.js that cannot be read', () => {
  test.each<[string, (value: ReturnType<typeof json>) => void, RegExp]>([
    [
      'a layer of an unknown kind',
      (value) => {
        value.modelTopology.config.layers[1].class_name = 'Hologram';
      },
      /not known: Hologram \(the first is scores\)/,
    ],
    [
      'an unknown activation',
      (value) => {
        value.modelTopology.config.layers[0].config.activation = 'wiggle';
      },
      /first \(Dense\) uses the activation wiggle/,
    ],
    [
      'a graph model',
      (value) => {
        value.format = 'graph-model';
      },
      /graph model of TensorFlow.js/,
    ],
    [
      'a missing shard',
      (value) => {
        value.weightsManifest[0].paths.push('gone.bin');
      },
      /shard of the weights is missing/,
    ],
    [
      'a path out of the folder',
      (value) => {
        value.weightsManifest[0].paths[0] = '../shard.bin';
      },
      /does not lie in the folder/,
    ],
    [
      'shards that are too short',
      (value) => {
        value.weightsManifest[0].paths.pop();
      },
      /take \d+ bytes, but the files hold \d+/,
    ],
    [
      'an element type that is not known',
      (value) => {
        value.weightsManifest[0].weights[0].dtype = 'string';
      },
      /first\/kernel is stored as string/,
    ],
    [
      'a weight that is not there',
      (value) => {
        value.weightsManifest[0].weights[0].name = 'other/kernel';
      },
      /first \(Dense\) has no weight kernel/,
    ],
    [
      'a first layer without a shape',
      (value) => {
        delete value.modelTopology.config.layers[0].config.batch_input_shape;
      },
      /states no input shape/,
    ],
    [
      'a model inside',
      (value) => {
        value.modelTopology.config.layers[1].class_name = 'Sequential';
      },
      /scores is a model itself/,
    ],
    [
      'no topology',
      (value) => {
        value.modelTopology = null;
      },
      /no modelTopology/,
    ],
  ])('%s', async (_name, change, message) => {
    rewrite(change);
    await expect(openModel(folder)).rejects.toThrow(message);
  });

  test('JSON that is no model', async () => {
    writeFileSync(join(folder, 'model.json'), '{"a": 1}');
    await expect(openModel(folder)).rejects.toThrow('describes no model that is known');
  });
});

describe('a student of TensorFlow.js layers', () => {
  test('learns from a teacher and is written back as layers that TensorFlow.js runs', async () => {
    process.env.COMPRESS_CACHE = join(root, 'cache');
    const teacher = made(16);
    randomise(teacher, 7);
    const teacherFolder = await saveModel(teacher, join(root, 'teacher'));
    const output = join(root, 'distilled');
    const { exitCode, err } = await capture([
      'distill',
      '--teacher',
      teacherFolder,
      '--student',
      folder,
      '--output',
      output,
      '--data',
      'random:samples=64',
      '--steps',
      '60',
      '--batch',
      '16',
      '--to',
      'tensorflowjs',
    ]);
    delete process.env.COMPRESS_CACHE;
    expect([exitCode, err]).toEqual([0, '']);
    const student = await loadModel(output);
    const inputs = inputsOf(model, 11);
    const divergence = (candidate: layers.LayersModel): number => {
      const [p, q] = [teacher, candidate].map((one) => {
        const [scores] = predict(one, inputs);
        return [...tf.softmax(tf.tensor(scores!.data as Float32Array, [...scores!.shape])).dataSync()];
      }) as [number[], number[]];
      return p.reduce((sum, probability, index) => sum + probability * Math.log(probability / q[index]!), 0);
    };
    expect(divergence(student)).toBeLessThan(0.6 * divergence(model));
    expect(existsSync(join(output, 'model.json'))).toBe(true);
  });
});
