import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type GraphProtoSchema,
  ModelProtoSchema,
  type TensorProtoSchema,
} from '../../../../src/artifact/formats/onnx/generated/onnx_pb.ts';
import { decodeProgram, readOnnx } from '../../../../src/artifact/formats/onnx/read.ts';
import { CompressError } from '../../../../src/errors.ts';
import { Random } from '../../../../src/random.ts';
import { everyFieldModel } from './every-field.ts';

type GraphInit = MessageInitShape<typeof GraphProtoSchema>;
type TensorInit = MessageInitShape<typeof TensorProtoSchema>;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelpress-hostile-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The error that an action ends with; anything but a CompressError that is no bug of ours fails the test. */
const errorOf = (action: () => unknown): CompressError => {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(CompressError);
    const facts = error as CompressError;
    expect(facts.code).not.toBe('internal');
    return facts;
  }
  throw new Error('no error was thrown');
};

const encoded = (graph: GraphInit): Uint8Array => toBinary(ModelProtoSchema, create(ModelProtoSchema, { graph }));
const withTensor = (tensor: TensorInit): Uint8Array => encoded({ initializer: [tensor] });
const decodeError = (bytes: Uint8Array): CompressError => errorOf(() => decodeProgram(bytes, { name: 'bad.onnx' }));

/** A file with these bytes, opened as a model. */
const fileError = (bytes: Uint8Array): CompressError => {
  const path = join(folder, 'bad.onnx');
  writeFileSync(path, bytes);
  return errorOf(() => readOnnx(path));
};

const varint = (value: bigint): number[] => {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 127n) | 128);
  }
};

describe('bytes that are no model', () => {
  it('random bytes give an error with the place in the file', () => {
    const random = new Random(7);
    for (let round = 0; round < 300; round++) {
      const bytes = Uint8Array.from({ length: 1 + random.integer(400) }, () => random.integer(256));
      const error = decodeError(bytes);
      expect(error.where.file).toBe('bad.onnx');
    }
  });

  it('a model with any one byte changed is read or refused, never more', () => {
    const bytes = toBinary(ModelProtoSchema, everyFieldModel());
    const random = new Random(11);
    for (let round = 0; round < 600; round++) {
      const changed = bytes.slice();
      changed[random.integer(bytes.length)] = random.integer(256);
      try {
        decodeProgram(changed);
      } catch (error) {
        expect(error).toBeInstanceOf(CompressError);
        expect((error as CompressError).code).not.toBe('internal');
      }
    }
  });

  it('a model cut short anywhere is refused, from memory and from a file', () => {
    const bytes = encoded({
      input: [{ name: 'x' }],
      output: [{ name: 'y' }],
      node: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }],
      initializer: [{ name: 'w', dataType: 1, dims: [2n], rawData: new Uint8Array(8) }],
    });
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeError(bytes.subarray(0, length)).code).toBe('malformed');
      expect(fileError(bytes.subarray(0, length)).code).toBe('malformed');
    }
  });

  it('an empty file is no model', () => {
    expect(fileError(new Uint8Array(0)).message).toMatch(/no graph/);
  });

  it('a text file is no model', () => {
    expect(fileError(new TextEncoder().encode('<!DOCTYPE html><html><body>Not found</body></html>')).code).toBe(
      'malformed',
    );
  });

  it('a folder, a missing file', () => {
    expect(errorOf(() => readOnnx(join(folder, 'missing.onnx'))).code).toBe('not-found');
    expect(errorOf(() => readOnnx(folder)).code).toBe('unsupported');
  });
});

describe('lengths that lie', () => {
  it('a length bomb is refused before anything is allocated', () => {
    for (const length of [2n ** 31n, 2n ** 40n, 2n ** 63n - 1n, 2n ** 64n - 1n]) {
      const error = fileError(Uint8Array.from([0x3a, ...varint(length), 0]));
      expect(error.code).toBe('malformed');
      expect(error.where.byteOffset).toBeDefined();
    }
  });

  it('raw data that announces more than its message holds', () => {
    const tensor = [0x08, 2, 0x10, 1, 0x4a, ...varint(2n ** 32n)];
    const graph = [0x2a, tensor.length, ...tensor];
    expect(fileError(Uint8Array.from([0x3a, graph.length, ...graph])).where.byteOffset).toBe(9);
  });

  it('an inner message that is longer than the outer one', () => {
    expect(fileError(Uint8Array.from([0x3a, 4, 0x0a, 100, 0, 0, ...new Array(200).fill(0)])).message).toMatch(
      /100 bytes are announced/,
    );
  });

  it('a number that never ends', () => {
    expect(fileError(new Uint8Array(64).fill(0xff)).message).toMatch(/ten bytes/);
  });

  it('messages nested a thousand deep', () => {
    let bytes: number[] = [];
    for (let depth = 0; depth < 1000; depth++) {
      // Graph → node → attribute → g, in turn: fields 1, 5 and 6.
      const tag = [0x0a, 0x2a, 0x32][depth % 3] as number;
      bytes = [tag, ...varint(BigInt(bytes.length)), ...bytes];
    }
    const error = decodeError(Uint8Array.from([0x3a, ...varint(BigInt(bytes.length)), ...bytes]));
    expect(error.code).toBe('malformed');
  });

  it('millions of empty messages and unknown fields are refused before they fill the memory', () => {
    const inGraph = (...body: number[]): Uint8Array => {
      const bytes = new Uint8Array(5_000_000);
      for (let at = 0; at < bytes.length; at += body.length) bytes.set(body, at);
      return Uint8Array.from(Buffer.concat([Uint8Array.of(0x3a, ...varint(BigInt(bytes.length))), bytes]));
    };
    expect(decodeError(inGraph(0x5a, 0)).code).toBe('unsafe');
    expect(decodeError(inGraph(0x38, 0x07)).code).toBe('unsafe');
  });

  it('groups nested without end', () => {
    expect(decodeError(new Uint8Array(100_000).fill(0xfb)).code).toBe('malformed');
    expect(decodeError(Uint8Array.from({ length: 100_000 }, (_, index) => (index % 2 ? 0x3e : 0xc3))).code).toBe(
      'malformed',
    );
  });
});

describe('tensors that lie', () => {
  it('raw data of another length than the shape asks for names tensor, shape, bytes and place', () => {
    const error = decodeError(withTensor({ name: 'w', dataType: 1, dims: [2n, 3n], rawData: new Uint8Array(20) }));
    expect(error.message).toMatch(/\[2, 3\] needs 24 bytes but has 20/);
    expect(error.where).toMatchObject({ file: 'bad.onnx', tensor: 'w' });
    expect(error.where.byteOffset).toBeGreaterThan(0);
  });

  it('typed lists with too few, too many and truncated numbers', () => {
    expect(decodeError(withTensor({ name: 'w', dataType: 7, dims: [3n], int64Data: [1n, 2n] })).code).toBe('malformed');
    expect(decodeError(withTensor({ name: 'w', dataType: 7, dims: [1n], int64Data: [1n, 2n] })).code).toBe('malformed');
    expect(decodeError(withTensor({ name: 'w', dataType: 1, dims: [1n], floatData: [1, 2] })).code).toBe('malformed');
    expect(decodeError(withTensor({ name: 'w', dataType: 8, dims: [2n], stringData: [new Uint8Array(1)] })).code).toBe(
      'malformed',
    );
  });

  it('shapes with more elements than can be counted', () => {
    for (const dims of [[2n ** 40n, 2n ** 40n], [2n ** 62n, 4n], [2n ** 53n]]) {
      const error = decodeError(withTensor({ name: 'w', dataType: 1, dims, rawData: new Uint8Array(4) }));
      expect(['unsafe', 'malformed']).toContain(error.code);
    }
  });

  it('a huge shape over a short typed list allocates nothing', () => {
    expect(decodeError(withTensor({ name: 'w', dataType: 7, dims: [2n ** 45n], int64Data: [1n] })).code).toBe(
      'malformed',
    );
    expect(decodeError(withTensor({ name: 'w', dataType: 22, dims: [2n ** 45n], int32Data: [1] })).code).toBe(
      'malformed',
    );
  });

  it('negative dimensions', () => {
    expect(
      decodeError(withTensor({ name: 'w', dataType: 1, dims: [-1n], rawData: new Uint8Array(4) })).message,
    ).toMatch(/no shape/);
  });

  it('element types that no version knows, or none', () => {
    expect(decodeError(withTensor({ name: 'w', dataType: 99, dims: [], rawData: new Uint8Array(4) })).code).toBe(
      'unsupported',
    );
    expect(decodeError(withTensor({ name: 'w', dims: [], rawData: new Uint8Array(4) })).code).toBe('malformed');
  });

  it('elements in two fields, in a list of another type, or nowhere', () => {
    expect(
      decodeError(withTensor({ name: 'w', dataType: 1, dims: [1n], floatData: [1], rawData: new Uint8Array(4) }))
        .message,
    ).toMatch(/two fields/);
    expect(decodeError(withTensor({ name: 'w', dataType: 1, dims: [1n], int32Data: [1] })).code).toBe('malformed');
    expect(decodeError(withTensor({ name: 'w', dataType: 1, dims: [1n] })).message).toMatch(/no elements/);
  });

  it('sparse tensors with indices outside of their shape, or as large as a disk', () => {
    const sparse = (index: bigint, dims: bigint[]): Uint8Array =>
      encoded({
        sparseInitializer: [
          {
            values: { name: 'w', dataType: 1, dims: [1n], rawData: new Uint8Array(4) },
            indices: { dataType: 7, dims: [1n], int64Data: [index] },
            dims,
          },
        ],
      });
    const [value] = decodeProgram(sparse(6n, [2n, 3n])).graph.initializers;
    expect(errorOf(() => value?.tensor?.bytes()).message).toMatch(/index 6 lies outside/);
    expect(decodeError(sparse(0n, [2n ** 40n])).message).toMatch(/4 GiB/);
    expect(decodeError(sparse(0n, [-1n])).code).toBe('malformed');
  });
});

describe('external data that leaves the folder of the model, or lies', () => {
  const open = (location: string, more: Readonly<Record<string, string>> = {}): CompressError => {
    const externalData = Object.entries({ location, ...more }).map(([key, value]) => ({ key, value }));
    const home = join(folder, 'model');
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'data.bin'), new Uint8Array(16));
    writeFileSync(join(folder, 'secret.bin'), new Uint8Array(16));
    const path = join(home, 'model.onnx');
    writeFileSync(path, withTensor({ name: 'w', dataType: 1, dims: [2n], dataLocation: 1, externalData }));
    return errorOf(() => readOnnx(path));
  };

  it('parent folders, absolute paths, drives and shares', () => {
    for (const location of [
      '../secret.bin',
      'sub/../../secret.bin',
      '..\\secret.bin',
      '/etc/hostname',
      'C:\\secret.bin',
      'c:secret.bin',
      '\\\\server\\share\\secret.bin',
      '//server/share',
      '',
      'data.bin\0.txt',
    ]) {
      const error = open(location);
      expect(error.code, location).toBe('unsafe');
      expect(error.where.tensor).toBe('w');
    }
  });

  it.skipIf(process.platform === 'win32')('links that lead out, to files and through folders', () => {
    const home = join(folder, 'model');
    mkdirSync(home, { recursive: true });
    writeFileSync(join(folder, 'secret.bin'), new Uint8Array(16));
    symlinkSync(join(folder, 'secret.bin'), join(home, 'link.bin'));
    symlinkSync(folder, join(home, 'link'));
    expect(open('link.bin').message).toMatch(/link that leads out/);
    expect(open('link/secret.bin').message).toMatch(/link that leads out/);
  });

  it('a folder or a device instead of a file', () => {
    mkdirSync(join(folder, 'model', 'sub'), { recursive: true });
    expect(open('sub').code).toBe('unsafe');
    expect(open('.').code).toBe('unsafe');
  });

  it('a file that is not there', () => {
    expect(open('missing.bin').code).toBe('not-found');
  });

  it('offsets and lengths beyond the end, of other sizes, or no numbers', () => {
    expect(open('data.bin', { offset: '12' }).message).toMatch(/beyond the file's end at 16/);
    expect(open('data.bin', { offset: '9007199254740991' }).code).toBe('malformed');
    expect(open('data.bin', { offset: '18446744073709551615' }).code).toBe('malformed');
    expect(open('data.bin', { offset: '-1' }).message).toMatch(/no number of bytes/);
    expect(open('data.bin', { offset: '0x4' }).code).toBe('malformed');
    expect(open('data.bin', { length: '4' }).message).toMatch(/4 bytes is given for a float32 tensor \[2\]/);
    expect(open('data.bin', { length: 'NaN' }).code).toBe('malformed');
  });

  it('and is refused where the model comes without a folder', () => {
    const externalData = [{ key: 'location', value: 'data.bin' }];
    expect(decodeError(withTensor({ name: 'w', dataType: 1, dims: [2n], dataLocation: 1, externalData })).code).toBe(
      'unsupported',
    );
  });

  it.skipIf(process.platform === 'win32')(
    'but a link to a file of the same folder, and a linked model, are read',
    () => {
      const home = join(folder, 'linked');
      mkdirSync(join(home, 'blobs'), { recursive: true });
      mkdirSync(join(home, 'snapshot'));
      const externalData = [{ key: 'location', value: 'model.data' }];
      writeFileSync(
        join(home, 'blobs', 'a'),
        withTensor({ name: 'w', dataType: 1, dims: [2n], dataLocation: 1, externalData }),
      );
      writeFileSync(join(home, 'blobs', 'b'), new Uint8Array(new Float32Array([5, 6]).buffer));
      symlinkSync('../blobs/a', join(home, 'snapshot', 'model.onnx'));
      symlinkSync('../blobs/b', join(home, 'snapshot', 'model.data'));
      const [value] = readOnnx(join(home, 'snapshot', 'model.onnx')).graph.initializers;
      expect(Buffer.from(value?.tensor?.bytes() ?? []).readFloatLE(4)).toBe(6);
    },
  );
});

describe('graphs that make no sense', () => {
  const relu = (input: string, output: string, name = '') => ({
    opType: 'Relu',
    name,
    input: [input],
    output: [output],
  });

  it('a node that reads a value which nothing produces names node and value', () => {
    const error = decodeError(encoded({ node: [relu('ghost', 'y', 'act')] }));
    expect(error.message).toMatch(/node act .* reads the value ghost/);
    expect(error.where).toMatchObject({ node: 'act', tensor: 'ghost' });
  });

  it('a node without a name is told by operator and number', () => {
    expect(decodeError(encoded({ node: [relu('ghost', 'y')] })).where.node).toBe('Relu #0');
  });

  it('cycles', () => {
    const error = decodeError(encoded({ node: [relu('c', 'a', 'one'), relu('a', 'b'), relu('b', 'c')] }));
    expect(error.message).toMatch(/computed from its own output/);
    expect(decodeError(encoded({ node: [relu('a', 'a', 'self')] })).where.node).toBe('self');
  });

  it('a cycle through the body of a node', () => {
    const body = { name: 'body', node: [relu('y', 'inner')], output: [{ name: 'inner' }] };
    const node = {
      opType: 'If',
      name: 'branch',
      output: ['y'],
      attribute: [{ name: 'then_branch', type: 5, g: body }],
    };
    expect(decodeError(encoded({ node: [node] })).where.node).toBe('branch');
  });

  it('names that are given twice', () => {
    expect(decodeError(encoded({ node: [relu('', 'y'), relu('', 'y', 'second')] })).message).toMatch(
      /output y of node second/,
    );
    const weight = { name: 'w', dataType: 1, dims: [], rawData: new Uint8Array(4) };
    expect(decodeError(encoded({ initializer: [weight, weight] })).message).toMatch(/initializer w is given twice/);
    expect(decodeError(encoded({ input: [{ name: 'x' }, { name: 'x' }] })).message).toMatch(/x is already taken/);
    const attribute = { name: 'axis', type: 2, i: 1n };
    const node = { opType: 'Op', name: 'n', output: ['y'], attribute: [attribute, attribute] };
    expect(decodeError(encoded({ node: [node] })).message).toMatch(/attribute axis of node n is given twice/);
  });

  it('names that are missing', () => {
    expect(decodeError(encoded({ input: [{}] })).message).toMatch(/input has no name/);
    expect(decodeError(withTensor({ dataType: 1, dims: [], rawData: new Uint8Array(4) })).message).toMatch(
      /initializer has no name/,
    );
    expect(decodeError(encoded({ node: [{ name: 'n', output: ['y'] }] })).message).toMatch(/node n has no operator/);
    expect(decodeError(encoded({ node: [{ opType: 'Op', name: 'n', attribute: [{ type: 2 }] }] })).where.node).toBe(
      'n',
    );
  });

  it('an output that nothing produces', () => {
    expect(decodeError(encoded({ output: [{ name: 'y' }] })).message).toMatch(/output y is a value that nothing/);
  });

  it('a name that is not UTF-8', () => {
    const bytes = encoded({ input: [{ name: 'xy' }] });
    const at = Buffer.from(bytes).indexOf('xy');
    bytes[at] = 0xff;
    const error = decodeError(bytes);
    expect(error.message).toMatch(/not UTF-8/);
    expect(error.where.byteOffset).toBe(at);
  });
});
