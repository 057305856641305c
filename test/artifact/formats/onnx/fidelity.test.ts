import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type ModelProto,
  ModelProtoSchema,
} from '../../../../src/artifact/formats/onnx/generated/onnx_pb.ts';
import { decodeProgram } from '../../../../src/artifact/formats/onnx/read.ts';
import { encodeProgram } from '../../../../src/artifact/formats/onnx/write.ts';
import { Graph, intsAttribute, Node, newProgram, Value } from '../../../../src/ir/graph.ts';
import { MemoryTensor } from '../../../../src/ir/tensor.ts';

type AttributeInit = MessageInitShape<typeof AttributeProtoSchema>;

const modelWith = (attribute: AttributeInit): Uint8Array =>
  toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, { graph: { node: [{ opType: 'Op', output: ['y'], attribute: [attribute] }] } }),
  );

const rewritten = (bytes: Uint8Array): ModelProto => fromBinary(ModelProtoSchema, encodeProgram(decodeProgram(bytes)));

const includes = (bytes: Uint8Array, pattern: readonly number[]): boolean =>
  Buffer.from(bytes).includes(Buffer.from(pattern));

describe('numbers that JavaScript cannot hold survive', () => {
  const quietNaN = [0x39, 0x30, 0xc0, 0x7f];
  const signallingNaN = [0x01, 0x00, 0xa0, 0xff];

  it('bits of a NaN in a float attribute', () => {
    // AttributeProto { name: 'f', type: FLOAT } and field 2 as raw bits.
    for (const bits of [quietNaN, signallingNaN]) {
      const attribute = [0x0a, 1, 0x66, 0x15, ...bits, 0xa0, 0x01, AttributeType.FLOAT];
      const node = [0x12, 1, 0x79, 0x22, 2, 0x4f, 0x70, 0x2a, attribute.length, ...attribute];
      const graph = [0x0a, node.length, ...node];
      const bytes = encodeProgram(decodeProgram(Uint8Array.from([0x3a, graph.length, ...graph])));
      expect(includes(bytes, [0x15, ...bits])).toBe(true);
    }
  });

  it('bits of NaNs among the floats of a list, beside minus zero', () => {
    const list = [0, 0, 0, 0x80, ...quietNaN, 0, 0, 0x80, 0x3f];
    const attribute = [0x0a, 1, 0x66, 0x3a, list.length, ...list, 0xa0, 0x01, AttributeType.FLOATS];
    const node = [0x12, 1, 0x79, 0x22, 2, 0x4f, 0x70, 0x2a, attribute.length, ...attribute];
    const graph = [0x0a, node.length, ...node];
    const program = decodeProgram(Uint8Array.from([0x3a, graph.length, ...graph]));
    expect(program.graph.nodes[0]?.floats('f')?.map((value) => Object.is(value, -0) || value)).toEqual([
      true,
      Number.NaN,
      1,
    ]);
    expect(includes(encodeProgram(program), list)).toBe(true);
  });

  it('integers beyond 2^53', () => {
    const ints = [2n ** 63n - 1n, 2n ** 53n + 1n, -(2n ** 63n)];
    const bytes = modelWith({ name: 'ends', type: AttributeType.INTS, ints });
    expect(rewritten(bytes).graph?.node[0]?.attribute[0]?.ints).toEqual(ints);
  });

  it('until the attribute is replaced; then the new value is written', () => {
    const program = decodeProgram(modelWith({ name: 'ends', type: AttributeType.INTS, ints: [2n ** 63n - 1n] }));
    program.graph.nodes[0]?.setAttribute('ends', intsAttribute([2 ** 63, -(2 ** 63), 7]));
    const written = fromBinary(ModelProtoSchema, encodeProgram(program));
    expect(written.graph?.node[0]?.attribute[0]?.ints).toEqual([2n ** 63n - 1n, -(2n ** 63n), 7n]);
  });
});

describe('edits are written, and what they leave alone is kept', () => {
  it('a replaced typed tensor is written as raw data, its documentation kept', () => {
    const bytes = toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        graph: { initializer: [{ name: 'w', dataType: 1, dims: [1n], floatData: [1], docString: 'the weight' }] },
      }),
    );
    const program = decodeProgram(bytes);
    for (const value of program.graph.initializers)
      value.tensor = new MemoryTensor('float32', [2], new Uint8Array(new Float32Array([3, 4]).buffer));
    const [tensor] = fromBinary(ModelProtoSchema, encodeProgram(program)).graph?.initializer ?? [];
    expect(tensor?.floatData).toEqual([]);
    expect([...(tensor?.rawData ?? [])]).toEqual([...new Uint8Array(new Float32Array([3, 4]).buffer)]);
    expect(tensor?.docString).toBe('the weight');
    expect(tensor?.dims).toEqual([2n]);
  });

  it('a changed type is written without the old denotations', () => {
    const type = {
      denotation: 'IMAGE',
      value: { case: 'tensorType' as const, value: { elemType: 1, shape: { dim: [{ denotation: 'DATA_BATCH' }] } } },
    };
    const bytes = toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, { graph: { input: [{ name: 'x', type, docString: 'pixels' }] } }),
    );
    const program = decodeProgram(bytes);
    const input = program.graph.inputs[0] as Value;
    input.type = { kind: 'tensor', dtype: 'float16', shape: [null] };
    const written = fromBinary(ModelProtoSchema, encodeProgram(program)).graph?.input[0];
    expect(written?.type?.denotation).toBe('');
    expect(written?.type?.value.case === 'tensorType' && written.type.value.value.elemType).toBe(10);
    expect(written?.docString).toBe('pixels');
  });

  it('a renamed value keeps its place in value_info, and reads follow', () => {
    const bytes = toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        graph: {
          input: [{ name: 'x' }],
          output: [{ name: 'z' }],
          node: [
            { opType: 'Relu', input: ['x'], output: ['y'] },
            { opType: 'Neg', input: ['y'], output: ['z'] },
          ],
          valueInfo: [{ name: 'gone' }, { name: 'y', docString: 'middle' }],
        },
      }),
    );
    const program = decodeProgram(bytes);
    (program.graph.nodes[0]?.outputs[0] as Value).name = 'renamed';
    const written = fromBinary(ModelProtoSchema, encodeProgram(program)).graph;
    expect(written?.valueInfo.map((info) => info.name)).toEqual(['gone', 'renamed']);
    expect(written?.node[1]?.input).toEqual(['renamed']);
  });

  it('types that an edit has put on unlisted values are not written', () => {
    const graph = new Graph('main');
    const x = new Value('x', { kind: 'tensor', dtype: 'float32', shape: [1] });
    const hidden = new Value('hidden', { kind: 'tensor', dtype: 'float32', shape: [1] });
    const y = new Value('y');
    graph.inputs.push(x);
    graph.outputs.push(y);
    graph.insert(new Node({ op: 'Relu', inputs: [x], outputs: [hidden] }));
    graph.insert(new Node({ op: 'Relu', inputs: [hidden], outputs: [y] }));
    const written = fromBinary(ModelProtoSchema, encodeProgram(newProgram(graph, 21)));
    expect(written.graph?.valueInfo).toEqual([]);
    expect(written.graph?.output.map((info) => info.type)).toEqual([undefined]);
  });
});

describe('a graph that an edit has broken is not written', () => {
  const twoNodes = (): { graph: Graph; middle: Value } => {
    const graph = new Graph('main');
    const x = new Value('x');
    const middle = new Value('middle');
    const y = new Value('y');
    graph.inputs.push(x);
    graph.outputs.push(y);
    graph.insert(new Node({ op: 'Relu', name: 'first', inputs: [x], outputs: [middle] }));
    graph.insert(new Node({ op: 'Relu', name: 'second', inputs: [middle], outputs: [y] }));
    return { graph, middle };
  };

  it('two values with one name', () => {
    const { graph, middle } = twoNodes();
    middle.name = 'x';
    expect(() => encodeProgram(newProgram(graph, 21))).toThrow(/two values .* "x"/);
  });

  it('a read of a value that is not in the graph', () => {
    const { graph } = twoNodes();
    graph.remove(graph.nodes[0] as Node);
    expect(() => encodeProgram(newProgram(graph, 21))).toThrow(/second reads middle/);
  });
});

describe('the order of nodes', () => {
  const chain = (...nodes: { opType: string; input: string[]; output: string[] }[]): Uint8Array =>
    toBinary(ModelProtoSchema, create(ModelProtoSchema, { graph: { input: [{ name: 'x' }], node: nodes } }));

  it('is made so that every value is computed before it is read', () => {
    const bytes = chain(
      { opType: 'C', input: ['b'], output: ['c'] },
      { opType: 'B', input: ['a'], output: ['b'] },
      { opType: 'A', input: ['x'], output: ['a'] },
      { opType: 'D', input: ['x'], output: ['d'] },
    );
    expect(decodeProgram(bytes).graph.nodes.map((node) => node.op)).toEqual(['A', 'B', 'C', 'D']);
  });

  it('is kept where it is right', () => {
    const bytes = chain(
      { opType: 'D', input: ['x'], output: ['d'] },
      { opType: 'A', input: ['x'], output: ['a'] },
      { opType: 'B', input: ['a', 'd'], output: ['b'] },
    );
    expect(decodeProgram(bytes).graph.nodes.map((node) => node.op)).toEqual(['D', 'A', 'B']);
  });

  it('does not take the stack for a chain of 20000 nodes in the wrong order', () => {
    const nodes = Array.from({ length: 20_000 }, (_, index) => ({
      opType: 'Relu',
      input: [index === 0 ? 'x' : `v${index - 1}`],
      output: [`v${index}`],
    }));
    expect(decodeProgram(chain(...nodes.reverse())).graph.nodes[0]?.outputs[0]?.name).toBe('v0');
  });
});
