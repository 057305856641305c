import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isFieldSet, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ModelProtoSchema } from '../../../../src/artifact/formats/onnx/generated/onnx_pb.ts';
import { decodeProgram, readOnnx } from '../../../../src/artifact/formats/onnx/read.ts';
import { encodeProgram, writeOnnx } from '../../../../src/artifact/formats/onnx/write.ts';
import { cloneProgram } from '../../../../src/ir/clone.ts';
import { sharedData } from '../../../shared.ts';
import { differences } from './differences.ts';
import { everyFieldModel, externalModel, messagesWithin, withLaterFields } from './every-field.ts';

const expectSameMessage = (rewritten: Uint8Array, original: Uint8Array): void => {
  expect(differences(rewritten, original)).toEqual([]);
};

const withFile = async (bytes: Uint8Array, work: (path: string, folder: string) => unknown): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'modelpress-'));
  try {
    await writeFile(join(folder, 'model.onnx'), bytes);
    await work(join(folder, 'model.onnx'), folder);
  } finally {
    await rm(folder, { recursive: true });
  }
};

describe('the model that uses every field', () => {
  it('leaves no field of the schema out', () => {
    const unset = new Set<string>();
    const set = new Set<string>();
    for (const model of [everyFieldModel(), externalModel()])
      for (const [schema, message] of messagesWithin(ModelProtoSchema, model))
        for (const field of schema.fields)
          (isFieldSet(message as never, field) ? set : unset).add(`${schema.typeName}.${field.name}`);
    expect([...unset].filter((name) => !set.has(name))).toEqual([]);
  });
});

describe('a file read and written again is the same message', () => {
  it('for a model that uses every field, from memory', () => {
    const bytes = toBinary(ModelProtoSchema, everyFieldModel());
    expectSameMessage(encodeProgram(decodeProgram(bytes)), bytes);
  });

  it('with fields of a later version in every message', () => {
    const bytes = toBinary(ModelProtoSchema, withLaterFields(everyFieldModel()));
    expectSameMessage(encodeProgram(decodeProgram(bytes)), bytes);
  });

  it('for a model that uses every field, through files', async () => {
    const bytes = toBinary(ModelProtoSchema, withLaterFields(everyFieldModel()));
    await withFile(bytes, async (path, folder) => {
      await writeOnnx(readOnnx(path), join(folder, 'copy.onnx'));
      expectSameMessage(readFileSync(join(folder, 'copy.onnx')), bytes);
    });
  });

  it('from a copy of its program', () => {
    const bytes = toBinary(ModelProtoSchema, withLaterFields(everyFieldModel()));
    expectSameMessage(encodeProgram(cloneProgram(decodeProgram(bytes))), bytes);
  });

  it('with external data written to the same place, its checksum kept', async () => {
    const bytes = toBinary(ModelProtoSchema, externalModel());
    await withFile(bytes, async (path, folder) => {
      const weights = new Uint8Array(new Float32Array([3, 4]).buffer);
      await writeFile(join(folder, 'weights.bin'), weights);
      await mkdir(join(folder, 'copy'));
      const copy = join(folder, 'copy', 'model.onnx');
      await writeOnnx(readOnnx(path), copy, { externalData: { thresholdBytes: 1, fileName: 'weights.bin' } });
      expectSameMessage(readFileSync(copy), bytes);
      expect(readFileSync(join(folder, 'copy', 'weights.bin')).equals(weights)).toBe(true);
    });
  });

  const models = [
    'audio-silero-vad',
    'detect-ultraface',
    'llm-babyllama-tok105',
    'llm-stories260k',
    'vision-cifar10-resnet',
    'vision-mnist',
    'vision-squeezenet-imagenet',
    'vision-style-transfer',
  ].flatMap((name) => {
    const folder = sharedData(name);
    return folder
      ? readdirSync(folder)
          .filter((file) => file.endsWith('.onnx'))
          .map((file) => join(folder, file))
      : [];
  });

  it.skipIf(models.length === 0)('for every shared model (needs ../shared/data)', () => {
    for (const path of models) {
      const original = readFileSync(path);
      expectSameMessage(encodeProgram(readOnnx(path)), original);
      expectSameMessage(encodeProgram(decodeProgram(original)), original);
    }
  });
});
