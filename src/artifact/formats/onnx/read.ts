import { closeSync, openSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { CompressError } from '../../../errors.ts';
import type { Program } from '../../../ir/graph.ts';
import { GraphDecoder } from './decode-graph.ts';
import { ExternalFiles } from './external-files.ts';
import { carry } from './facts.ts';
import { type ModelProto, ModelProtoSchema } from './generated/onnx_pb.ts';
import { areUsualEntries, decodeEntries } from './metadata.ts';
import { areUsualOpsets, decodeOpsets } from './operator-sets.ts';
import { residueOf } from './residue.ts';
import { ByteReader, type ByteSource } from './wire/byte-reader.ts';
import { readMessage } from './wire/read-message.ts';

const smallNumber = (value: bigint): number => (Number.isSafeInteger(Number(value)) ? Number(value) : 0);

const decodeModel = (source: ByteSource, external: ExternalFiles): Program => {
  const reader = new ByteReader(source);
  const file = reader.fileName;
  const { message: proto, side } = readMessage(ModelProtoSchema, reader);
  if (!proto.graph)
    throw new CompressError({
      code: 'malformed',
      message: 'not an ONNX model: the file has no graph',
      ...(file === undefined ? {} : { where: { file } }),
    });
  const decoder = new GraphDecoder({ file, side, external });
  const graph = decoder.decodeGraph(proto.graph);
  const residue = residueOf(ModelProtoSchema, proto, {
    taken: ['graph', 'functions'],
    optional: [
      'irVersion',
      'producerName',
      'producerVersion',
      'domain',
      'modelVersion',
      'docString',
      'metadataProps',
      'opsetImport',
    ],
    unusual: unusualParts(proto),
  });
  const carried = carry({ residue });
  return {
    graph,
    irVersion: smallNumber(proto.irVersion),
    opsets: decodeOpsets(proto.opsetImport),
    functions: proto.functions.map((definition) => decoder.decodeFunction(definition)),
    metadata: decodeEntries(proto.metadataProps),
    producerName: proto.producerName,
    producerVersion: proto.producerVersion,
    domain: proto.domain,
    modelVersion: smallNumber(proto.modelVersion),
    docString: proto.docString,
    ...(carried ? { carried } : {}),
  };
};

const unusualParts = (proto: ModelProto): MessageInitShape<typeof ModelProtoSchema> => ({
  ...(areUsualEntries(proto.metadataProps) ? {} : { metadataProps: proto.metadataProps }),
  ...(areUsualOpsets(proto.opsetImport) ? {} : { opsetImport: proto.opsetImport }),
  ...(proto.modelVersion === BigInt(smallNumber(proto.modelVersion)) ? {} : { modelVersion: proto.modelVersion }),
});

/**
 * Decodes a model held in memory. Tensors are views of `bytes` (not aligned), which must not change afterwards.
 * @param place.directory Folder of external data; without it a model with external data is refused.
 * @param place.name What to call the bytes in messages.
 */
export const decodeProgram = (
  bytes: Uint8Array,
  place: { readonly directory?: string; readonly name?: string } = {},
): Program => decodeModel({ kind: 'memory', bytes, name: place.name }, new ExternalFiles(place.directory));

const openToRead = (path: string): number => {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new CompressError({ code: 'resource', message: 'the file cannot be read', where: { file: path }, cause });
  }
};

/**
 * Reads a model file. Large tensors stay in the file, and external data in its files, until their bytes are asked for.
 * @throws malformed, unsafe, unsupported or not-found errors with file, tensor, node and byte offset as far as known.
 */
export const readOnnx = (path: string): Program => {
  const absolute = resolve(path);
  const facts = statSync(absolute, { throwIfNoEntry: false });
  if (!facts) throw new CompressError({ code: 'not-found', message: 'there is no such file', where: { file: path } });
  if (!facts.isFile())
    throw new CompressError({ code: 'unsupported', message: 'this is not a plain file', where: { file: path } });
  const descriptor = openToRead(absolute);
  try {
    return decodeModel(
      { kind: 'file', descriptor, path: absolute, byteLength: facts.size },
      new ExternalFiles(dirname(absolute), absolute),
    );
  } finally {
    closeSync(descriptor);
  }
};
