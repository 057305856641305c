import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  type ModelProto,
  ModelProtoSchema,
  TensorProtoSchema,
} from '../../../../src/artifact/formats/onnx/generated/onnx_pb.ts';
import { decodeProgram } from '../../../../src/artifact/formats/onnx/read.ts';
import type { Tensor } from '../../../../src/ir/tensor.ts';
import { everyFieldModel } from './every-field.ts';

const decoded = (model: ModelProto): Map<string, Tensor> => {
  const program = decodeProgram(toBinary(ModelProtoSchema, model));
  return new Map([...program.graph.initializers].flatMap(({ name, tensor }) => (tensor ? [[name, tensor]] : [])));
};

const bytesOf = (array: ArrayBufferView): number[] => [
  ...new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
];

describe('elements in typed lists read as the bytes that raw_data would hold', () => {
  const tensors = decoded(everyFieldModel());
  const expectBytes = (name: string, bytes: readonly number[]): void => {
    expect([...(tensors.get(name)?.bytes() ?? [])], name).toEqual(bytes);
  };

  it('floats and complex numbers', () => {
    expectBytes('float_list', bytesOf(new Float32Array([1.5, -0, Number.POSITIVE_INFINITY])));
    expectBytes('complex_list', bytesOf(new Float32Array([1, 2, 3, 4])));
    expectBytes('double_list', bytesOf(new Float64Array([Math.PI, -0])));
  });

  it('integers of every width, negative ones too', () => {
    expectBytes('int32_list', bytesOf(new Int32Array([-1, 2147483647, -2147483648])));
    expectBytes('int16_list', bytesOf(new Int16Array([-2, 300])));
    expectBytes('int8_list', bytesOf(new Int8Array([-128, 127])));
    expectBytes('int8_list_unsigned', [255]);
    expectBytes('uint16_list', [255, 255]);
    expectBytes('bool_list', [0, 1]);
    expectBytes('int64_list', bytesOf(new BigInt64Array([-1n, 2n ** 63n - 1n, -(2n ** 63n)])));
    expectBytes('uint64_list', bytesOf(new BigUint64Array([2n ** 64n - 1n, 3n])));
    expectBytes('uint32_list', [255, 255, 255, 255]);
  });

  it('16- and 8-bit floats as their bits, 4- and 2-bit types as packed bytes, 6-bit codes packed', () => {
    expectBytes('float16_list', [0x00, 0x3c, 0x00, 0xfc]);
    expectBytes('float8_list_17', [1, 254]);
    expectBytes('four_bits_list_22', [0x21, 0x03]);
    expectBytes('two_bits_list_26', [0xe4, 0x01]);
    // 1, 33, 63 in six bits each, low bits first: 000001 100001 111111.
    const packed = 1 + (33 << 6) + (63 << 12);
    expectBytes('six_bits_list_27', [packed & 255, (packed >> 8) & 255, packed >> 16]);
  });

  it('a sparse initializer as the dense array that it stands for', () => {
    const tensor = tensors.get('sparse_weight');
    const value = new Float32Array(new Uint8Array(4).fill(0x40).buffer)[0] ?? 0;
    expect(tensor?.shape).toEqual([2, 3]);
    expectBytes('sparse_weight', bytesOf(new Float32Array([0, value, 0, 0, value, 0])));
  });
});

describe('typed lists in the forms that protobuf allows', () => {
  /** initializer { dims: 3, data_type: FLOAT, name: 'w' } with the given fields appended. */
  const modelWith = (...fields: number[]): Uint8Array => {
    const head = toBinary(TensorProtoSchema, create(TensorProtoSchema, { dims: [3n], dataType: 1, name: 'w' }));
    const tensor = [...head, ...fields];
    const graph = [0x2a, tensor.length, ...tensor];
    return Uint8Array.from([0x3a, graph.length, ...graph]);
  };
  const float = (value: number): number[] => bytesOf(new Float32Array([value]));
  const wanted = bytesOf(new Float32Array([1, 2, 3]));
  const read = (bytes: Uint8Array): number[] => [
    ...([...decodeProgram(bytes).graph.initializers][0]?.tensor?.bytes() ?? []),
  ];

  it('one element at a time', () => {
    expect(read(modelWith(0x25, ...float(1), 0x25, ...float(2), 0x25, ...float(3)))).toEqual(wanted);
  });

  it('in several packed runs', () => {
    expect(read(modelWith(0x22, 8, ...float(1), ...float(2), 0x22, 4, ...float(3)))).toEqual(wanted);
  });

  it('packed and unpacked mixed', () => {
    expect(read(modelWith(0x25, ...float(1), 0x22, 8, ...float(2), ...float(3)))).toEqual(wanted);
  });
});
