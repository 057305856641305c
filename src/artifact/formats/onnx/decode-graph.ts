import type { UnknownField } from '@bufbuild/protobuf';
import { CompressError, type Where } from '../../../errors.ts';
import { type Attribute, type FunctionDefinition, Graph, Node, Value } from '../../../ir/graph.ts';
import type { Tensor } from '../../../ir/tensor.ts';
import { areUsualAnnotations, decodeAnnotations } from './annotations.ts';
import { decodeAttribute } from './decode-attribute.ts';
import { type AttributeFacts, carry, type GraphFacts, type ValueFacts } from './facts.ts';
import {
  type FunctionProto,
  FunctionProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type NodeProto,
  NodeProtoSchema,
} from './generated/onnx_pb.ts';
import { InfoList } from './info-list.ts';
import { areUsualEntries, setTexts } from './metadata.ts';
import { areUsualOpsets, decodeOpsets } from './operator-sets.ts';
import { residueOf } from './residue.ts';
import { sortNodes } from './sort-nodes.ts';
import { decodeTensor, type TensorContext } from './tensors/decode-tensor.ts';
import { decodeSparse } from './tensors/sparse.ts';
import { wireTypes } from './wire/byte-reader.ts';
import { sparseInitializerField } from './wire/field-plans.ts';

/** Sparse initializers (field 15 of GraphProto) arrive as bytes. */
const isSparseInitializer = (field: UnknownField): boolean =>
  field.no === sparseInitializerField && field.wireType === wireTypes.lengthDelimited;

const nodeName = (proto: NodeProto, index: number): string => proto.name || `${proto.opType || 'node'} #${index}`;

/** Values visible by name: this graph's, then those of the enclosing graphs. */
class Scope {
  readonly own = new Map<string, Value>();
  readonly #outer: Scope | undefined;

  constructor(outer: Scope | undefined) {
    this.#outer = outer;
  }

  find(name: string): Value | undefined {
    return this.own.get(name) ?? this.#outer?.find(name);
  }
}

/** Decodes the graphs of one file. */
export class GraphDecoder {
  readonly #context: TensorContext;
  /** Values that a ValueInfoProto has described. */
  readonly #described = new WeakSet<Value>();

  constructor(context: TensorContext) {
    this.#context = context;
  }

  decodeGraph(proto: GraphProto, outer?: Scope): Graph {
    const graph = new Graph(proto.name);
    const scope = new Scope(outer);
    graph.docString = proto.docString;
    setTexts(graph.metadata, proto.metadataProps);
    for (const info of proto.input) graph.inputs.push(this.#define(scope, info.name, 'graph input'));
    this.#initializers(graph, scope, proto);
    this.#nodes(graph, scope, proto.node);
    for (const info of proto.output) graph.outputs.push(this.#output(scope, info.name));
    const infos = new InfoList(this.#described);
    proto.input.forEach((info, index) => {
      infos.describe(graph.inputs[index] as Value, info, { list: 'input', index });
    });
    proto.output.forEach((info, index) => {
      infos.describe(graph.outputs[index] as Value, info, { list: 'output', index });
    });
    infos.describeListed(proto.valueInfo, (name) => scope.own.get(name));
    graph.quantizationAnnotations.push(...decodeAnnotations(proto.quantizationAnnotation));
    if (proto.$unknown) proto.$unknown = proto.$unknown.filter((unknown) => !isSparseInitializer(unknown));
    const residue = residueOf(GraphProtoSchema, proto, {
      taken: ['node', 'initializer', 'input', 'output', 'valueInfo'],
      optional: ['name', 'docString', 'metadataProps', 'quantizationAnnotation'],
      unusual: {
        ...(areUsualEntries(proto.metadataProps) ? {} : { metadataProps: proto.metadataProps }),
        ...(areUsualAnnotations(proto.quantizationAnnotation)
          ? {}
          : { quantizationAnnotation: proto.quantizationAnnotation }),
      },
    });
    graph.carried = carry({ ...infos.facts(), ...(residue ? { residue } : {}) } satisfies GraphFacts);
    return graph;
  }

  decodeFunction(proto: FunctionProto): FunctionDefinition {
    const body = new Graph(proto.name);
    const scope = new Scope(undefined);
    body.docString = proto.docString;
    setTexts(body.metadata, proto.metadataProps);
    for (const name of proto.input) body.inputs.push(this.#define(scope, name, 'function input'));
    this.#nodes(body, scope, proto.node);
    for (const name of proto.output) body.outputs.push(this.#output(scope, name));
    const infos = new InfoList(this.#described);
    infos.describeListed(proto.valueInfo, (name) => scope.own.get(name));
    body.carried = carry(infos.facts());
    const opsets = decodeOpsets(proto.opsetImport);
    const residue = residueOf(FunctionProtoSchema, proto, {
      taken: ['node', 'input', 'output', 'attribute', 'valueInfo'],
      optional: ['name', 'domain', 'overload', 'docString', 'metadataProps', 'opsetImport'],
      unusual: {
        ...(areUsualEntries(proto.metadataProps) ? {} : { metadataProps: proto.metadataProps }),
        ...(areUsualOpsets(proto.opsetImport) ? {} : { opsetImport: proto.opsetImport }),
      },
    });
    const carried = carry({ residue });
    return {
      name: proto.name,
      domain: proto.domain,
      overload: proto.overload,
      body,
      attributes: proto.attribute,
      opsets,
      ...(carried ? { carried } : {}),
    };
  }

  #malformed(message: string, where: Where, hint?: string): CompressError {
    const { file } = this.#context;
    return new CompressError({
      code: 'malformed',
      message,
      where: { ...(file === undefined ? {} : { file }), ...where },
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #define(scope: Scope, name: string, what: string): Value {
    if (name === '') throw this.#malformed(`a ${what} has no name`, {});
    if (scope.own.has(name))
      throw this.#malformed(`the name of ${what} ${name} is already taken in its graph`, { tensor: name });
    const value = new Value(name);
    scope.own.set(name, value);
    return value;
  }

  /** Files of IR version 3 and below list initializers among the inputs as well: one value in both lists. */
  #initializers(graph: Graph, scope: Scope, proto: GraphProto): void {
    const add = (name: string, tensor: Tensor, facts: ValueFacts): void => {
      const input = scope.own.get(name);
      if (input && graph.initializers.has(input))
        throw this.#malformed(`initializer ${name} is given twice`, { tensor: name });
      const value = input ?? this.#define(scope, name, 'initializer');
      value.tensor = tensor;
      value.type = { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape };
      value.carried = carry(facts);
      graph.initializers.add(value);
    };
    for (const tensorProto of proto.initializer) {
      const { name, tensor, facts } = decodeTensor(tensorProto, this.#context);
      add(name, tensor, Object.keys(facts).length > 0 ? { tensor: facts } : {});
    }
    for (const unknown of proto.$unknown ?? []) {
      if (!isSparseInitializer(unknown)) continue;
      const { name, tensor } = decodeSparse(unknown.data, this.#context);
      add(name, tensor, { sparse: { tensor, bytes: unknown.data } });
    }
  }

  #nodes(graph: Graph, scope: Scope, protos: readonly NodeProto[]): void {
    const names = protos.map((proto, index) => nodeName(proto, index));
    const outputs = protos.map((proto, index) =>
      proto.output.map((name) => {
        if (name === '') return undefined;
        if (scope.own.has(name))
          throw this.#malformed(`output ${name} of node ${names[index]} is already defined in its graph`, {
            node: names[index] ?? '',
            tensor: name,
          });
        return this.#define(scope, name, 'output');
      }),
    );
    const nodes = protos.map((proto, index) => this.#node(proto, names[index] ?? '', scope, outputs[index] ?? []));
    const { sorted, cycle } = sortNodes(nodes);
    if (cycle) {
      const index = nodes.indexOf(cycle);
      throw this.#malformed(
        `node ${names[index]} reads a value that is computed from its own output`,
        { node: names[index] ?? '' },
        'The graph has a cycle.',
      );
    }
    for (const node of sorted) graph.insert(node);
  }

  #node(proto: NodeProto, name: string, scope: Scope, outputs: readonly (Value | undefined)[]): Node {
    if (proto.opType === '') throw this.#malformed(`node ${name} has no operator`, { node: name });
    const inputs = proto.input.map((input, index) => {
      if (input === '') return undefined;
      const value = scope.find(input);
      if (value) return value;
      throw this.#malformed(
        `input ${index} of node ${name} (${proto.opType}) reads the value ${input}, which nothing in the graph produces`,
        { node: name, tensor: input },
      );
    });
    const attributes = new Map<string, Attribute>();
    const attributeFacts = new Map<string, AttributeFacts>();
    for (const attributeProto of proto.attribute) {
      const { attribute, facts } = decodeAttribute(attributeProto, name, this.#context, (body) =>
        this.decodeGraph(body, scope),
      );
      if (attributes.has(attributeProto.name))
        throw this.#malformed(`attribute ${attributeProto.name} of node ${name} is given twice`, { node: name });
      attributes.set(attributeProto.name, attribute);
      if (facts) attributeFacts.set(attributeProto.name, facts);
    }
    const node = new Node({
      op: proto.opType,
      domain: proto.domain,
      overload: proto.overload,
      name: proto.name,
      inputs,
      outputs,
      attributes,
    });
    node.docString = proto.docString;
    setTexts(node.metadata, proto.metadataProps);
    const residue = residueOf(NodeProtoSchema, proto, {
      taken: ['input', 'output', 'opType', 'attribute'],
      optional: ['name', 'domain', 'overload', 'docString', 'metadataProps'],
      ...(areUsualEntries(proto.metadataProps) ? {} : { unusual: { metadataProps: proto.metadataProps } }),
    });
    node.carried = carry({ residue, attributes: attributeFacts.size > 0 ? attributeFacts : undefined });
    return node;
  }

  #output(scope: Scope, name: string): Value {
    const value = scope.find(name);
    if (value) return value;
    throw this.#malformed(`the graph output ${name} is a value that nothing in the graph produces`, { tensor: name });
  }
}
