import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelProtoSchema } from '../../src/artifact/formats/onnx/generated/onnx_pb.ts';
import { decodeProgram, readOnnx } from '../../src/artifact/formats/onnx/read.ts';
import { encodeProgram } from '../../src/artifact/formats/onnx/write.ts';
import { loadSnapshot, saveSnapshot } from '../../src/artifact/snapshot.ts';
import { floatAttribute, type Node, type Program } from '../../src/ir/graph.ts';
import type { Model } from '../../src/ir/model.ts';
import { PackedTensor } from '../../src/ir/packed-tensor.ts';
import { allGraphs } from '../../src/ir/walk.ts';
import { sharedData } from '../shared.ts';
import { everyFieldModel, withLaterFields } from './formats/onnx/every-field.ts';
import { tinyModel, tinyProgram } from './tiny-models.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelpress-snapshot-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const modelOf = (program: Program): Model => ({ ...tinyModel(), program });

const reloaded = async (model: Model): Promise<Model> => {
  await saveSnapshot(model, folder);
  return loadSnapshot(folder);
};

/** All that is known of the values of a program. */
const valueFacts = (program: Program): unknown[] =>
  [...allGraphs(program)].flatMap((graph) =>
    [...graph.inputs, ...graph.initializers, ...graph.nodes.flatMap((node) => [...node.outputs])].map((value) => ({
      name: value?.name,
      type: value?.type,
      docString: value?.docString,
      metadata: value && [...value.metadata],
    })),
  );

const packedOf = (program: Program): PackedTensor[] =>
  [...program.graph.initializers].flatMap(({ tensor }) => (tensor instanceof PackedTensor ? [tensor] : []));

describe('a snapshot gives the model back whole', () => {
  it('packed weights with codes, scales, zero points and method', async () => {
    const model = tinyModel();
    const [before] = packedOf(model.program);
    const [after] = packedOf((await reloaded(model)).program);
    expect(before).toBeDefined();
    expect(after?.facts).toEqual(before?.facts);
  });

  it('types, documentation and metadata of values that files do not describe', async () => {
    const program = tinyProgram();
    const hidden = program.graph.nodes[1]?.outputs[0];
    if (hidden) {
      hidden.docString = 'between';
      hidden.metadata.set('note', 'kept');
    }
    const again = (await reloaded(modelOf(program))).program;
    expect(valueFacts(again)).toEqual(valueFacts(program));
  });

  it('float attributes in double precision', async () => {
    const leaky = (from: Program): Node | undefined =>
      [...allGraphs(from)].flatMap((graph) => graph.nodes).find((node) => node.op === 'LeakyRelu');
    const program = tinyProgram();
    leaky(program)?.setAttribute('alpha', floatAttribute(0.1));
    expect(leaky((await reloaded(modelOf(program))).program)?.float('alpha')).toBe(0.1);
  });

  it('one tensor that two values hold is still one', async () => {
    const program = tinyProgram();
    const [, b, plain] = [...program.graph.initializers];
    const copy = program.graph.addInitializer('copy', plain?.tensor ?? (b as never));
    expect(copy.tensor).toBe(plain?.tensor);
    const values = [...(await reloaded(modelOf(program))).program.graph.initializers];
    const find = (name: string) => values.find((value) => value.name === name)?.tensor;
    expect(find('copy')).toBe(find('plain'));
  });

  it('family, configuration, origin, and companions by their bytes', async () => {
    const path = join(folder, 'tokenizer-source.json');
    writeFileSync(path, '{"a":1}');
    const companions = [{ name: '1_Pooling/config.json', path }];
    const model = { ...tinyModel(), companions, origin: '/somewhere' };
    const again = await reloaded(model);
    expect([again.family, again.config, again.origin]).toEqual(['llama', { model_type: 'llama' }, '/somewhere']);
    expect(again.companions.map(({ name }) => name)).toEqual(['1_Pooling/config.json']);
    expect(readFileSync(again.companions[0]?.path ?? '', 'utf8')).toBe('{"a":1}');
  });

  it('with the same bytes when it is written afterwards, for a file that uses every field', async () => {
    const program = decodeProgram(toBinary(ModelProtoSchema, withLaterFields(everyFieldModel())));
    const again = (await reloaded(modelOf(program))).program;
    expect(Buffer.from(encodeProgram(again)).equals(encodeProgram(program))).toBe(true);
  });

  it('a second time round', async () => {
    const first = await reloaded(tinyModel());
    const before = encodeProgram(first.program);
    const other = mkdtempSync(join(folder, 'second-'));
    await saveSnapshot(first, other);
    expect(Buffer.from(encodeProgram(loadSnapshot(other).program)).equals(before)).toBe(true);
  });

  const shared = ['audio-silero-vad/silero_vad.onnx', 'vision-mnist/mnist.onnx', 'llm-stories260k/model.onnx'].flatMap(
    (name) => sharedData(name) ?? [],
  );
  it.skipIf(shared.length === 0)('with the same bytes for shared models (needs ../shared/data)', async () => {
    for (const path of shared) {
      const program = readOnnx(path);
      const again = (await reloaded(modelOf(program))).program;
      expect(Buffer.from(encodeProgram(again)).equals(encodeProgram(program)), path).toBe(true);
    }
  });
});

describe('saving', () => {
  it('does not change the model', async () => {
    const model = tinyModel();
    const before = encodeProgram(model.program);
    await saveSnapshot(model, folder);
    expect(packedOf(model.program)).toHaveLength(1);
    expect(Buffer.from(encodeProgram(model.program)).equals(before)).toBe(true);
  });

  it('gives the same files each time', async () => {
    const other = mkdtempSync(join(folder, 'other-'));
    const third = mkdtempSync(join(folder, 'third-'));
    await saveSnapshot(tinyModel(), other);
    await saveSnapshot(tinyModel(), third);
    expect(readdirSync(other)).toEqual(readdirSync(third));
    for (const name of readdirSync(other))
      expect(readFileSync(join(other, name)).equals(readFileSync(join(third, name)))).toBe(true);
  });

  it('stops when it is told to, and leaves no tensor file', async () => {
    await expect(saveSnapshot(tinyModel(), folder, { signal: AbortSignal.abort() })).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('what is no snapshot is refused', () => {
  const breakFile = async (name: string, change: (text: string) => string): Promise<void> => {
    await saveSnapshot(tinyModel(), folder);
    const path = join(folder, name);
    writeFileSync(path, change(readFileSync(path, 'utf8')));
  };

  it('another version, unknown names, missing files', async () => {
    await breakFile('snapshot.json', (text) => text.replace('"snapshotVersion":1', '"snapshotVersion":2'));
    expect(() => loadSnapshot(folder)).toThrow(expect.objectContaining({ code: 'malformed' }));
    await breakFile('snapshot.json', (text) => text.replace('"value":"w"', '"value":"nobody"'));
    expect(() => loadSnapshot(folder)).toThrow(expect.objectContaining({ code: 'malformed' }));
    rmSync(join(folder, 'snapshot.json'));
    expect(() => loadSnapshot(folder)).toThrow(expect.objectContaining({ code: 'not-found' }));
  });
});
