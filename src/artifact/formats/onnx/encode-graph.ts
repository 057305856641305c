import type { FunctionDefinition, Graph, Value } from '../../../ir/graph.ts';
import { annotationsFor } from './annotations.ts';
import { encodeNode } from './encode-node.ts';
import { encodeValueInfo } from './encode-value.ts';
import { type FunctionFacts, factsOf, type GraphFacts, type InfoOverride, type ValueFacts } from './facts.ts';
import {
  type FunctionProto,
  FunctionProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type TensorProto,
  type ValueInfoProto,
} from './generated/onnx_pb.ts';
import { entriesFor } from './metadata.ts';
import { opsetsFor } from './operator-sets.ts';
import { startFrom } from './residue.ts';
import { encodeInlineTensor } from './tensors/encode-tensor.ts';
import { sameType } from './types.ts';
import { wireTypes } from './wire/byte-reader.ts';
import { sparseInitializerField } from './wire/field-plans.ts';

/** How initializers of graphs inside nodes are written. */
export type EncodeInitializer = (value: Value) => TensorProto;

/** Initializers with their elements in the message. */
const encodeInline: EncodeInitializer = (value) => {
  if (!value.tensor) throw new TypeError(`initializer ${value.name} has no tensor`);
  return encodeInlineTensor(value.name, value.tensor, factsOf<ValueFacts>(value.carried).tensor);
};

/** Whether an initializer is still the sparse one of its file. */
const isSparse = (value: Value): boolean => {
  const { sparse } = factsOf<ValueFacts>(value.carried);
  return sparse !== undefined && sparse.tensor === value.tensor;
};

/** Initializers that are written as dense tensors, in order. */
export const denseInitializers = (graph: Graph): Value[] => [...graph.initializers].filter((value) => !isSparse(value));

const infoOf = (
  value: Value,
  place: Pick<InfoOverride, 'list' | 'index'>,
  overrides: GraphFacts['overrides'],
): ValueInfoProto => {
  const override = overrides?.find(
    ({ list, index, name }) => list === place.list && index === place.index && name === value.name,
  );
  return override && sameType(override.type, value.type) ? override.info : encodeValueInfo(value);
};

/** Entries of value_info in the file's order: values that it listed, and its entries that name no value. */
const listedInfos = (graph: Graph): ValueInfoProto[] => {
  const { overrides, dangling } = factsOf<GraphFacts>(graph.carried);
  const entries: { listed: number; info: ValueInfoProto }[] = [...(dangling ?? [])];
  const seen = new Set<Value>();
  const add = (value: Value | undefined): void => {
    if (!value || seen.has(value)) return;
    seen.add(value);
    const { listed } = factsOf<ValueFacts>(value.carried);
    if (listed !== undefined)
      entries.push({ listed, info: infoOf(value, { list: 'value_info', index: listed }, overrides) });
  };
  graph.inputs.forEach(add);
  graph.initializers.forEach(add);
  for (const node of graph.nodes) node.outputs.forEach(add);
  return entries.sort((a, b) => a.listed - b.listed).map((entry) => entry.info);
};

/** A graph without its dense initializers, which writers stream. */
export const encodeGraphShell = (graph: Graph, encodeInitializer: EncodeInitializer): GraphProto => {
  const { residue, overrides } = factsOf<GraphFacts>(graph.carried);
  const proto = startFrom(GraphProtoSchema, residue);
  if (graph.name !== '') proto.name = graph.name;
  if (graph.docString !== '') proto.docString = graph.docString;
  proto.node = graph.nodes.map((node) => encodeNode(node, (body) => encodeBody(body, encodeInitializer)));
  proto.input = graph.inputs.map((value, index) => infoOf(value, { list: 'input', index }, overrides));
  proto.output = graph.outputs.map((value, index) => infoOf(value, { list: 'output', index }, overrides));
  proto.valueInfo = listedInfos(graph);
  proto.metadataProps = entriesFor(graph.metadata, residue?.metadataProps);
  proto.quantizationAnnotation = annotationsFor(graph.quantizationAnnotations, residue?.quantizationAnnotation);
  for (const value of graph.initializers) {
    const { sparse } = factsOf<ValueFacts>(value.carried);
    if (sparse && isSparse(value))
      proto.$unknown = [
        ...(proto.$unknown ?? []),
        { no: sparseInitializerField, wireType: wireTypes.lengthDelimited, data: sparse.bytes },
      ];
  }
  return proto;
};

/** A whole graph in memory. */
const encodeBody = (graph: Graph, encodeInitializer: EncodeInitializer): GraphProto => {
  const proto = encodeGraphShell(graph, encodeInitializer);
  proto.initializer = denseInitializers(graph).map(encodeInitializer);
  return proto;
};

export const encodeFunction = (definition: FunctionDefinition): FunctionProto => {
  const { residue } = factsOf<FunctionFacts>(definition.carried);
  const { body } = definition;
  const proto = startFrom(FunctionProtoSchema, residue);
  if (definition.name !== '') proto.name = definition.name;
  if (definition.domain !== '') proto.domain = definition.domain;
  if (definition.overload !== '') proto.overload = definition.overload;
  if (body.docString !== '') proto.docString = body.docString;
  proto.input = body.inputs.map((value) => value.name);
  proto.output = body.outputs.map((value) => value.name);
  proto.attribute = [...definition.attributes];
  proto.node = body.nodes.map((node) => encodeNode(node, (inner) => encodeBody(inner, encodeInline)));
  proto.valueInfo = listedInfos(body);
  proto.opsetImport = opsetsFor(definition.opsets, residue?.opsetImport);
  proto.metadataProps = entriesFor(body.metadata, residue?.metadataProps);
  return proto;
};
