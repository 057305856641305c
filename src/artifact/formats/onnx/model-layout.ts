import { toBinary } from '@bufbuild/protobuf';
import { internalError } from '../../../errors.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import type { Tensor } from '../../../ir/tensor.ts';
import { checkNames } from './check-names.ts';
import { denseInitializers, encodeFunction, encodeGraphShell } from './encode-graph.ts';
import { factsOf, type ProgramFacts, type ValueFacts } from './facts.ts';
import { GraphProtoSchema, type ModelProto, ModelProtoSchema, TensorProtoSchema } from './generated/onnx_pb.ts';
import { entriesFor } from './metadata.ts';
import { opsetsFor } from './operator-sets.ts';
import { startFrom } from './residue.ts';
import { type EncodedTensor, encodeExternalTensor, encodeInlineTensor, encodeTensor } from './tensors/encode-tensor.ts';
import { varintBytes } from './tensors/varints.ts';

/** Where initializers are that are not in the model file. */
export interface ExternalLayout {
  readonly places: ReadonlyMap<Value, { readonly location: string; readonly offset: number }>;
}

/** A stretch of a model file: bytes, or the elements of a tensor that are read when their turn comes. */
type Part = Uint8Array | NonNullable<EncodedTensor['body']>;

/** A model file as a list of parts, so that no two large tensors are in memory together. */
export interface ModelLayout {
  readonly parts: readonly Part[];
  readonly byteLength: number;
}

/** Tags of ModelProto.graph and GraphProto.initializer: field × 8 + wire type 2. */
const graphTag = Uint8Array.of(7 * 8 + 2);
const initializerTag = Uint8Array.of(5 * 8 + 2);

const lengthOf = (parts: readonly Part[]): number => parts.reduce((sum, part) => sum + part.byteLength, 0);

const prefixed = (tag: Uint8Array, parts: readonly Part[]): Part[] => [tag, varintBytes(lengthOf(parts)), ...parts];

const encodeModelShell = (program: Program): ModelProto => {
  const { residue } = factsOf<ProgramFacts>(program.carried);
  const proto = startFrom(ModelProtoSchema, residue);
  if (program.irVersion !== 0) proto.irVersion = BigInt(program.irVersion);
  if (program.producerName !== '') proto.producerName = program.producerName;
  if (program.producerVersion !== '') proto.producerVersion = program.producerVersion;
  if (program.domain !== '') proto.domain = program.domain;
  if (program.modelVersion !== 0) proto.modelVersion = BigInt(program.modelVersion);
  if (program.docString !== '') proto.docString = program.docString;
  proto.opsetImport = opsetsFor(program.opsets, residue?.opsetImport);
  proto.metadataProps = entriesFor(program.metadata, residue?.metadataProps);
  proto.functions = program.functions.map(encodeFunction);
  return proto;
};

const tensorOf = (value: Value): Tensor => {
  if (!value.tensor) throw internalError(`initializer ${value.name} has no tensor`, { tensor: value.name });
  return value.tensor;
};

/**
 * Lays out a model file. Protobuf joins the pieces of a message that are written one after the other, so the graph and
 * its initializers follow the rest of their messages.
 */
export const layoutModel = (program: Program, external?: ExternalLayout): ModelLayout => {
  checkNames(program);
  const factsOfTensor = (value: Value) => factsOf<ValueFacts>(value.carried).tensor;
  const placeOf = (value: Value) => external?.places.get(value);
  const shell = encodeGraphShell(program.graph, (value) => {
    const place = placeOf(value);
    return place
      ? encodeExternalTensor(value.name, tensorOf(value), factsOfTensor(value), place)
      : encodeInlineTensor(value.name, tensorOf(value), factsOfTensor(value));
  });
  const graphParts: Part[] = [toBinary(GraphProtoSchema, shell)];
  for (const value of denseInitializers(program.graph)) {
    const place = placeOf(value);
    const { header, body } = place
      ? { header: encodeExternalTensor(value.name, tensorOf(value), factsOfTensor(value), place), body: undefined }
      : encodeTensor(value.name, tensorOf(value), factsOfTensor(value));
    const parts: Part[] = [toBinary(TensorProtoSchema, header)];
    if (body) parts.push(Uint8Array.of(body.field * 8 + 2), varintBytes(body.byteLength), body);
    graphParts.push(...prefixed(initializerTag, parts));
  }
  const parts = [toBinary(ModelProtoSchema, encodeModelShell(program)), ...prefixed(graphTag, graphParts)];
  return { parts, byteLength: lengthOf(parts) };
};
