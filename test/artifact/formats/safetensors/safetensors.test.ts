import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../../src/artifact/formats/safetensors/open.ts';
import { openShards } from '../../../../src/artifact/formats/safetensors/shards.ts';
import { writeSafetensors } from '../../../../src/artifact/formats/safetensors/write.ts';
import { CompressErrors } from '../../../../src/errors.ts';
import { byteLengthOf, type DataType, dataTypes } from '../../../../src/ir/data-type.ts';
import { FileTensor, MemoryTensor, StringTensor } from '../../../../src/ir/tensor.ts';
import { sharedData } from '../../../shared.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelpress-safetensors-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const tensorOf = (dtype: DataType, ...shape: number[]): MemoryTensor => {
  const count = shape.reduce((product, dim) => product * dim, 1);
  return new MemoryTensor(
    dtype,
    shape,
    Uint8Array.from({ length: byteLengthOf(dtype, count) }, (_, index) => index + 1),
  );
};

const safetensorsTypes = (Object.keys(dataTypes) as DataType[]).filter(
  (dtype) => !['string', 'complex128', 'int4', 'uint4', 'int2', 'uint2'].includes(dtype),
);

describe('a safetensors file', () => {
  it('gives back every element type as it was written, lazily', async () => {
    const path = join(folder, 'a.safetensors');
    const tensors = safetensorsTypes.map((dtype) => ({ name: dtype, tensor: tensorOf(dtype, 2, 4) }));
    await writeSafetensors(path, tensors, { format: 'pt', note: 'é "quoted"' });
    const source = openSafetensors(path);
    expect(source.names).toEqual(safetensorsTypes);
    expect(Object.fromEntries(source.metadata)).toEqual({ format: 'pt', note: 'é "quoted"' });
    for (const { name, tensor } of tensors) {
      const read = source.get(name);
      expect(read).toBeInstanceOf(FileTensor);
      expect([read.dtype, read.shape]).toEqual([tensor.dtype, tensor.shape]);
      expect(Buffer.from(read.bytes()).equals(tensor.bytes()), name).toBe(true);
    }
  });

  it('holds scalars and empty tensors', async () => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, [
      { name: 'scalar', tensor: tensorOf('float32') },
      { name: 'empty', tensor: tensorOf('float32', 0, 3) },
    ]);
    expect(openSafetensors(path).get('scalar').shape).toEqual([]);
    expect(openSafetensors(path).get('empty').shape).toEqual([0, 3]);
  });

  it('begins its data at a multiple of eight and is the same each time', async () => {
    const [a, b] = [join(folder, 'a'), join(folder, 'b')] as const;
    for (const path of [a, b])
      await writeSafetensors(path, [{ name: 'w', tensor: tensorOf('float32', 3) }], { y: '1', x: '2' });
    expect(readFileSync(a).equals(readFileSync(b))).toBe(true);
    expect((openSafetensors(a).get('w') as FileTensor).byteOffset % 8).toBe(0);
  });

  it('cannot hold strings, packed integers, or a name twice; nothing is left behind', async () => {
    const path = join(folder, 'a.safetensors');
    const write = (...tensors: Parameters<typeof writeSafetensors>[1]) => writeSafetensors(path, tensors);
    const text = new StringTensor([1], [new Uint8Array(1)]);
    await expect(write({ name: 't', tensor: text })).rejects.toMatchObject({ code: 'unsupported' });
    await expect(write({ name: 't', tensor: tensorOf('int4', 2) })).rejects.toMatchObject({ code: 'unsupported' });
    const weight = { name: 'w', tensor: tensorOf('float32', 1) };
    await expect(write(weight, weight)).rejects.toMatchObject({ code: 'mismatch', where: { tensor: 'w' } });
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(!sharedData('llm-lab-english'))(
    'of the shared data is written back tensor for tensor (needs ../shared/data)',
    async () => {
      const path = sharedData('llm-lab-english', 'model.safetensors') ?? '';
      const source = openSafetensors(path);
      const copy = join(folder, 'copy');
      const tensors = source.names.map((name) => ({ name, tensor: source.get(name) }));
      await writeSafetensors(copy, tensors, Object.fromEntries(source.metadata));
      const again = openSafetensors(copy);
      for (const { name, tensor } of tensors)
        expect(Buffer.from(again.get(name).bytes()).equals(tensor.bytes())).toBe(true);
    },
  );
});

describe('headers that lie are refused', () => {
  const openWith = (header: string, data: number, length?: bigint): unknown => {
    const json = new TextEncoder().encode(header);
    const bytes = new Uint8Array(8 + json.length + data);
    new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
    bytes.set(json, 8);
    const path = join(folder, 'bad.safetensors');
    writeFileSync(path, bytes);
    try {
      return openSafetensors(path);
    } catch (error) {
      return error;
    }
  };
  const tensor = (begin: number, end: number, shape = '[2]', dtype = 'F32'): string =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

  const cases: Readonly<Record<string, [string, number, bigint?]>> = {
    'data that overlaps': [`{"a":${tensor(0, 8)},"b":${tensor(4, 12)}}`, 12],
    'data beyond the end of the file': [`{"a":${tensor(0, 8)}}`, 4],
    'data that nothing describes': [`{"a":${tensor(0, 8)}}`, 12],
    'a hole between tensors': [`{"a":${tensor(0, 8)},"b":${tensor(12, 20)}}`, 20],
    'offsets in the wrong order': [`{"a":${tensor(8, 0)}}`, 8],
    'a shape of another size': [`{"a":${tensor(0, 8, '[3]')}}`, 8],
    'a shape that cannot be counted': [`{"a":${tensor(0, 8, '[4611686018427387904, 8]')}}`, 8],
    'a negative shape': [`{"a":${tensor(0, 8, '[-2]')}}`, 8],
    'a fractional shape': [`{"a":${tensor(0, 8, '[2.5]')}}`, 8],
    'a name twice': [`{"a":${tensor(0, 8)},"a":${tensor(0, 8)}}`, 8],
    'an unknown element type': [`{"a":${tensor(0, 8, '[2]', 'F31')}}`, 8],
    'no JSON': ['{"a":', 8],
    'JSON that is no object': ['[1, 2, 3]', 0],
    'metadata that is no text': ['{"__metadata__":{"a":1}}', 0],
    'a header as long as a disk': ['{}', 0, 2n ** 40n],
    'a header of all bytes': ['{}', 0, 2n ** 64n - 1n],
    'a header beyond the file': ['{}', 0, 100n],
  };

  for (const [what, [header, data, length]] of Object.entries(cases))
    it(what, () => {
      const error = openWith(header, data, length);
      expect(error).toMatchObject({
        name: 'CompressError',
        code: 'malformed',
        where: { file: join(folder, 'bad.safetensors') },
      });
    });

  it('a file of seven bytes, and none at all', () => {
    const path = join(folder, 'short.safetensors');
    writeFileSync(path, new Uint8Array(7));
    expect(() => openSafetensors(path)).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => openSafetensors(join(folder, 'missing'))).toThrow(expect.objectContaining({ code: 'not-found' }));
  });

  it('a tensor that is asked for and not there is named', async () => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, [{ name: 'w', tensor: tensorOf('float32', 1) }]);
    expect(() => openSafetensors(path).get('v')).toThrow(
      expect.objectContaining({ code: 'not-found', where: { file: path, tensor: 'v' } }),
    );
  });
});

describe('a sharded checkpoint', () => {
  const index = (map: Readonly<Record<string, unknown>>): string => {
    const path = join(folder, 'model.safetensors.index.json');
    writeFileSync(path, JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }));
    return path;
  };
  const shard = (name: string, ...tensors: string[]) =>
    writeSafetensors(
      join(folder, name),
      tensors.map((tensor) => ({ name: tensor, tensor: tensorOf('float32', tensor.length) })),
    );

  it('is one source of tensors, in the order of its index', async () => {
    await shard('one.safetensors', 'bb', 'a');
    await shard('two.safetensors', 'ccc');
    const source = openShards(index({ ccc: 'two.safetensors', a: 'one.safetensors', bb: 'one.safetensors' }));
    expect(source.names).toEqual(['ccc', 'a', 'bb']);
    expect(source.get('ccc').shape).toEqual([3]);
    expect(source.files.length).toBe(2);
    expect(source.has('d')).toBe(false);
    expect(() => source.get('d')).toThrow(/no tensor d/);
  });

  it('with missing shards names each of them and what is in it', async () => {
    await shard('one.safetensors', 'a');
    const path = index({ a: 'one.safetensors', b: 'two.safetensors', c: 'two.safetensors', d: 'three.safetensors' });
    const error = (() => {
      try {
        return openShards(path);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(CompressErrors);
    const messages = (error as CompressErrors).errors.map(({ message }) => message);
    expect(messages).toEqual([
      'the shard two.safetensors is missing; 2 tensors are in it, b among them',
      'the shard three.safetensors is missing; 1 tensors are in it, d among them',
    ]);
  });

  it('whose index names a tensor that its shard does not hold', async () => {
    await shard('one.safetensors', 'a');
    const path = index({ a: 'one.safetensors', b: 'one.safetensors' });
    expect(() => openShards(path)).toThrow(
      expect.objectContaining({ code: 'mismatch', where: { file: path, tensor: 'b' } }),
    );
  });

  it('whose index leads out of the folder, or is no index', () => {
    for (const name of ['../one.safetensors', '/etc/passwd', 'sub/one.safetensors', '..', 'C:one', ''])
      expect(() => openShards(index({ a: name })), name).toThrow(expect.objectContaining({ code: 'unsafe' }));
    expect(() => openShards(index({ a: 5 }))).toThrow(expect.objectContaining({ code: 'malformed' }));
    const path = index({});
    writeFileSync(path, '{\n  "weight_map": {,}\n}');
    expect(() => openShards(path)).toThrow(
      expect.objectContaining({ code: 'malformed', where: { file: path, line: 2, column: 18 } }),
    );
  });
});
