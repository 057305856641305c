import { create, type DescMessage, type Message, type MessageInitShape, type UnknownField } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type StringStringEntryProto,
  StringStringEntryProtoSchema,
  TensorProtoSchema,
  type TypeProto,
  TypeProtoSchema,
} from '../../../../src/artifact/formats/onnx/generated/onnx_pb.ts';

type TensorInit = MessageInitShape<typeof TensorProtoSchema>;
type AttributeInit = MessageInitShape<typeof AttributeProtoSchema>;

/** Fields of a later version, of every wire type. */
const laterFields = (): UnknownField[] => [
  { no: 1001, wireType: 0, data: Uint8Array.of(0xac, 0x02) },
  { no: 1002, wireType: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
  { no: 1003, wireType: 2, data: Uint8Array.of(2, 9, 9) },
  // A group with one varint field and its end tag.
  { no: 1004, wireType: 3, data: Uint8Array.of(0x08, 0x01, 0xe4, 0x3e) },
  { no: 1005, wireType: 5, data: Uint8Array.of(1, 2, 3, 4) },
];

const entries = (...texts: string[]): StringStringEntryProto[] =>
  texts.map((text) => create(StringStringEntryProtoSchema, { key: text, value: `${text} value` }));

const denotedType = create(TypeProtoSchema, {
  value: {
    case: 'tensorType' as const,
    value: {
      elemType: 1,
      shape: {
        dim: [
          { value: { case: 'dimParam' as const, value: 'batch' }, denotation: 'DATA_BATCH' },
          { value: { case: 'dimValue' as const, value: 4n } },
          {},
        ],
      },
    },
  },
  denotation: 'TENSOR',
});

const arrayType = (elemType: number, ...dims: bigint[]): TypeProto =>
  create(TypeProtoSchema, {
    value: {
      case: 'tensorType' as const,
      value: { elemType, shape: { dim: dims.map((value) => ({ value: { case: 'dimValue' as const, value } })) } },
    },
  });

/** Tensors of every element type, in raw form and in each typed list that may hold them. */
const tensors: readonly TensorInit[] = [
  { name: 'float_list', dataType: 1, dims: [3n], floatData: [1.5, -0, Number.POSITIVE_INFINITY] },
  { name: 'complex_list', dataType: 14, dims: [2n], floatData: [1, 2, 3, 4] },
  { name: 'double_list', dataType: 11, dims: [2n], doubleData: [Math.PI, -0] },
  { name: 'complex128_list', dataType: 15, dims: [1n], doubleData: [1, 2] },
  { name: 'int32_list', dataType: 6, dims: [3n], int32Data: [-1, 2147483647, -2147483648] },
  { name: 'int16_list', dataType: 5, dims: [2n], int32Data: [-2, 300] },
  { name: 'int8_list', dataType: 3, dims: [2n], int32Data: [-128, 127] },
  { name: 'int8_list_unsigned', dataType: 3, dims: [1n], int32Data: [255] },
  { name: 'uint16_list', dataType: 4, dims: [1n], int32Data: [65535] },
  { name: 'uint8_list', dataType: 2, dims: [2n], int32Data: [0, 255] },
  { name: 'bool_list', dataType: 9, dims: [2n], int32Data: [0, 1] },
  { name: 'float16_list', dataType: 10, dims: [2n], int32Data: [0x3c00, 0xfc00] },
  { name: 'bfloat16_list', dataType: 16, dims: [1n], int32Data: [0x3f80] },
  ...[17, 18, 19, 20, 24].map((dataType) => ({
    name: `float8_list_${dataType}`,
    dataType,
    dims: [2n],
    int32Data: [1, 254],
  })),
  ...[21, 22, 23].map((dataType) => ({
    name: `four_bits_list_${dataType}`,
    dataType,
    dims: [3n],
    int32Data: [0x21, 0x3],
  })),
  ...[25, 26].map((dataType) => ({ name: `two_bits_list_${dataType}`, dataType, dims: [5n], int32Data: [0xe4, 0x1] })),
  ...[27, 28].map((dataType) => ({ name: `six_bits_list_${dataType}`, dataType, dims: [3n], int32Data: [1, 33, 63] })),
  { name: 'int64_list', dataType: 7, dims: [3n], int64Data: [-1n, 2n ** 63n - 1n, -(2n ** 63n)] },
  { name: 'uint64_list', dataType: 13, dims: [2n], uint64Data: [2n ** 64n - 1n, 3n] },
  { name: 'uint32_list', dataType: 12, dims: [1n], uint64Data: [4294967295n] },
  { name: 'text_list', dataType: 8, dims: [2n], stringData: [Uint8Array.of(0xff, 0x00), new Uint8Array(0)] },
  ...Object.entries({
    1: 8,
    2: 2,
    3: 2,
    4: 4,
    5: 4,
    6: 8,
    7: 16,
    9: 2,
    10: 4,
    11: 16,
    12: 8,
    13: 16,
    14: 16,
    15: 32,
    16: 4,
    17: 2,
    18: 2,
    19: 2,
    20: 2,
    21: 1,
    22: 1,
    23: 1,
    24: 2,
    25: 1,
    26: 1,
    27: 2,
    28: 2,
  }).map(([number, bytes]) => ({
    name: `raw_${number}`,
    dataType: Number(number),
    dims: [2n],
    rawData: new Uint8Array(bytes).fill(0x5a),
  })),
  { name: 'empty_without_data', dataType: 1, dims: [0n, 3n] },
  { name: 'empty_raw', dataType: 1, dims: [0n], rawData: new Uint8Array(0) },
  {
    name: 'documented',
    dataType: 1,
    dims: [],
    rawData: new Uint8Array(4),
    docString: 'a scalar',
    segment: { begin: 0n, end: 1n },
    dataLocation: DataLocation.DEFAULT,
    metadataProps: entries('tensor'),
  },
  { name: 'inherited_input', dataType: 1, dims: [2n], rawData: new Uint8Array(8) },
];

const externalTensor: TensorInit = {
  name: 'external',
  dataType: 1,
  dims: [2n],
  dataLocation: DataLocation.EXTERNAL,
  externalData: [
    { key: 'location', value: 'weights.bin' },
    { key: 'offset', value: '0' },
    { key: 'length', value: '8' },
    { key: 'checksum', value: 'da39a3ee5e6b4b0d3255bfef95601890afd80709' },
  ],
};

const sparse = (name: string) => ({
  values: { name, dataType: 1, dims: [2n], rawData: new Uint8Array(8).fill(0x40) },
  indices: { dataType: 7, dims: [2n], int64Data: [1n, 4n] },
  dims: [2n, 3n],
});

const bodyOf = (name: string, ...inputs: string[]): GraphProto =>
  create(GraphProtoSchema, {
    name,
    input: inputs.map((input) => ({ name: input })),
    node: [{ opType: 'Add', input: ['x', `${name}_constant`], output: [`${name}_out`] }],
    initializer: [{ name: `${name}_constant`, dataType: 1, dims: [], floatData: [2] }],
    output: [{ name: `${name}_out` }],
  });

const attributes: readonly AttributeInit[] = [
  { name: 'f', type: AttributeType.FLOAT, f: -0, docString: 'a float' },
  { name: 'i', type: AttributeType.INT, i: 2n ** 63n - 1n },
  { name: 's', type: AttributeType.STRING, s: Uint8Array.of(0xff, 0xfe) },
  { name: 't', type: AttributeType.TENSOR, t: { dataType: 7, dims: [1n], int64Data: [5n], name: '' } },
  { name: 'g', type: AttributeType.GRAPH, g: bodyOf('g') },
  { name: 'tp', type: AttributeType.TYPE_PROTO, tp: denotedType },
  { name: 'floats', type: AttributeType.FLOATS, floats: [1, -0, Number.NaN] },
  { name: 'ints', type: AttributeType.INTS, ints: [1n, -(2n ** 63n)] },
  { name: 'strings', type: AttributeType.STRINGS, strings: [Uint8Array.of(1), new Uint8Array(0)] },
  {
    name: 'tensors',
    type: AttributeType.TENSORS,
    tensors: [
      { name: 'inner', dataType: 1, dims: [1n], floatData: [3] },
      { dataType: 6, dims: [0n] },
    ],
  },
  { name: 'graphs', type: AttributeType.GRAPHS, graphs: [bodyOf('g1'), bodyOf('g2')] },
  { name: 'type_protos', type: AttributeType.TYPE_PROTOS, typeProtos: [denotedType] },
  { name: 'sparse_tensor', type: AttributeType.SPARSE_TENSOR, sparseTensor: sparse('a') },
  { name: 'sparse_tensors', type: AttributeType.SPARSE_TENSORS, sparseTensors: [sparse('b'), sparse('c')] },
  { name: 'untyped_i', i: 0n },
  { name: 'untyped_floats', floats: [0.5] },
  { name: 'zero_left_out', type: AttributeType.INT },
  { name: 'empty_ints', type: AttributeType.INTS },
  { name: 'empty_text', type: AttributeType.STRING },
  { name: 'no_tensor', type: AttributeType.TENSOR },
  {
    name: 'opaque',
    type: AttributeType.TYPE_PROTO,
    tp: { value: { case: 'opaqueType' as const, value: { domain: 'd', name: 'n' } } },
  },
];

const deviceConfiguration = {
  configurationId: 'two',
  pipelineStage: 1,
  shardingSpec: [
    {
      tensorName: 'x',
      device: [0n, -1n],
      indexToDeviceGroupMap: [{ key: -1n, value: [0n, 1n] }],
      shardedDim: [
        {
          axis: 0n,
          simpleSharding: [
            { dim: { case: 'dimValue' as const, value: 4n }, numShards: 2n },
            { dim: { case: 'dimParam' as const, value: 'batch' }, numShards: 2n },
          ],
        },
      ],
    },
  ],
};

/**
 * A model that uses every field of the schema, every element type in every form, and the odd forms that files have:
 * fields set to their default, missing types, repeated keys, value_info of nothing.
 */
export const everyFieldModel = (): ModelProto =>
  create(ModelProtoSchema, {
    irVersion: 14n,
    producerName: 'producer',
    producerVersion: '',
    domain: 'example.domain',
    modelVersion: 2n ** 62n + 1n,
    docString: 'words',
    opsetImport: [{ version: 23n }, { domain: 'com.microsoft', version: 1n }, { domain: 'local', version: 1n }],
    metadataProps: [
      ...entries('one', 'two'),
      create(StringStringEntryProtoSchema, { key: 'one', value: 'again' }),
      create(StringStringEntryProtoSchema, { key: 'no value' }),
    ],
    configuration: [{ name: 'two', numDevices: 2, device: ['a', 'b'] }],
    functions: [
      {
        name: 'Twice',
        domain: 'local',
        overload: 'first',
        docString: 'a function',
        input: ['value'],
        output: ['result'],
        attribute: ['factor'],
        attributeProto: [{ name: 'epsilon', type: AttributeType.FLOAT, f: 1e-5 }],
        opsetImport: [{ domain: '', version: 23n }],
        node: [
          {
            opType: 'Scale',
            input: ['value'],
            output: ['result'],
            attribute: [{ name: 'factor', refAttrName: 'factor', type: AttributeType.FLOAT }],
          },
        ],
        valueInfo: [{ name: 'result', type: denotedType }, { name: 'nothing' }],
        metadataProps: entries('function'),
      },
    ],
    trainingInfo: [
      {
        initialization: bodyOf('initialization', 'x'),
        algorithm: bodyOf('algorithm', 'x'),
        initializationBinding: entries('w'),
        updateBinding: entries('w'),
      },
    ],
    graph: {
      name: 'main',
      docString: 'the graph',
      metadataProps: entries('graph'),
      input: [
        { name: 'x', type: denotedType, docString: 'an input', metadataProps: entries('info') },
        { name: 'inherited_input', type: arrayType(1, 2n) },
        { name: 'sequence', type: { value: { case: 'sequenceType', value: { elemType: arrayType(1, 2n) } } } },
        { name: 'map', type: { value: { case: 'mapType', value: { keyType: 8, valueType: arrayType(7) } } } },
        { name: 'optional', type: { value: { case: 'optionalType', value: { elemType: arrayType(1, 2n) } } } },
        {
          name: 'sparse_input',
          type: { value: { case: 'sparseTensorType', value: { elemType: 1, shape: { dim: [{}] } } } },
        },
        { name: 'opaque_input', type: { value: { case: 'opaqueType', value: { domain: 'd', name: 'n' } } } },
        { name: 'unknown_type', type: arrayType(99) },
        { name: 'unknown_rank', type: { value: { case: 'tensorType', value: { elemType: 1 } } } },
        { name: 'negative', type: arrayType(1, -1n) },
        { name: 'typeless', type: {} },
        { name: 'nothing_known' },
      ],
      output: [
        { name: 'y', type: arrayType(1, 2n) },
        { name: 'x', docString: 'an input that is an output' },
        { name: 'y', docString: 'given twice' },
      ],
      initializer: tensors.map((tensor) => create(TensorProtoSchema, tensor)),
      sparseInitializer: [sparse('sparse_weight')],
      node: [
        {
          opType: 'Everything',
          domain: 'example.domain',
          name: 'node',
          overload: 'variant',
          docString: 'a node',
          input: ['x', '', 'sparse_weight', ''],
          output: ['', 'hidden', ''],
          attribute: attributes.map((attribute) => create(AttributeProtoSchema, attribute)),
          metadataProps: entries('node'),
          deviceConfigurations: [deviceConfiguration],
        },
        { opType: 'Relu', domain: '', name: '', input: ['hidden'], output: ['y'] },
      ],
      valueInfo: [
        { name: 'nobody', type: arrayType(1) },
        { name: 'hidden', type: denotedType },
        { name: 'y', type: arrayType(1, 2n), docString: 'told again' },
        { name: 'hidden', type: arrayType(1, 7n) },
        { name: 'raw_1', type: arrayType(1, 2n) },
      ],
      quantizationAnnotation: [
        { tensorName: 'hidden', quantParameterTensorNames: entries('SCALE_TENSOR', 'ZERO_POINT_TENSOR') },
        { quantParameterTensorNames: [{ value: 'without key' }] },
      ],
    },
  });

/** A model with one tensor in `weights.bin` (8 bytes) beside it. */
export const externalModel = (): ModelProto =>
  create(ModelProtoSchema, { irVersion: 10n, graph: { name: 'main', initializer: [externalTensor] } });

/** Every message of a tree with its descriptor, fields of descriptors in the order of their numbers. */
export function* messagesWithin(schema: DescMessage, message: Message): Generator<[DescMessage, Message]> {
  yield [schema, message];
  const record = message as unknown as Record<string, unknown>;
  for (const field of schema.fields) {
    if (!field.message) continue;
    const holder = field.oneof ? (record[field.oneof.localName] as { case?: string; value?: unknown }) : undefined;
    const value = holder ? (holder.case === field.localName ? holder.value : undefined) : record[field.localName];
    for (const inner of Array.isArray(value) ? value : value ? [value] : [])
      yield* messagesWithin(field.message, inner as Message);
  }
}

/** Adds fields of a later version to every message. */
export const withLaterFields = (model: ModelProto): ModelProto => {
  for (const [, message] of messagesWithin(ModelProtoSchema, model)) message.$unknown = laterFields();
  return model;
};
