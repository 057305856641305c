import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readOnnx } from '../../../../src/artifact/formats/onnx/read.ts';
import { encodeProgram, writeOnnx } from '../../../../src/artifact/formats/onnx/write.ts';
import { Graph, Node, newProgram, type Program, Value } from '../../../../src/ir/graph.ts';
import { DerivedTensor, FileTensor, MemoryTensor, type Tensor } from '../../../../src/ir/tensor.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelpress-write-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** y = x + each weight in turn; weights are named w0, w1, …. */
const programWith = (...tensors: Tensor[]): Program => {
  const graph = new Graph('main');
  let sum = new Value('x', { kind: 'tensor', dtype: 'float32', shape: [null] });
  graph.inputs.push(sum);
  tensors.forEach((tensor, index) => {
    const output = new Value(`sum${index}`);
    graph.insert(new Node({ op: 'Add', inputs: [sum, graph.addInitializer(`w${index}`, tensor)], outputs: [output] }));
    sum = output;
  });
  graph.outputs.push(sum);
  return newProgram(graph, 21);
};

const floats = (count: number, seed = 0): MemoryTensor =>
  new MemoryTensor('float32', [count], new Uint8Array(Float32Array.from({ length: count }, (_, i) => i + seed).buffer));

const weightsOf = (program: Program): Map<string, Tensor> =>
  new Map([...program.graph.initializers].flatMap(({ name, tensor }) => (tensor ? [[name, tensor]] : [])));

const sameBytes = (a: Tensor | undefined, b: Tensor | undefined): boolean =>
  Buffer.from(a?.bytes() ?? []).equals(Buffer.from(b?.bytes() ?? []));

describe('a file is read lazily', () => {
  it('large tensors stay in the file, small ones come with it', async () => {
    const path = join(folder, 'model.onnx');
    await writeOnnx(programWith(floats(5000), floats(3)), path);
    const weights = weightsOf(readOnnx(path));
    expect(weights.get('w0')).toBeInstanceOf(FileTensor);
    expect(weights.get('w1')).toBeInstanceOf(MemoryTensor);
    expect(sameBytes(weights.get('w0'), floats(5000))).toBe(true);
  });

  it('a tensor whose file has become shorter is an error that names file and place', async () => {
    const path = join(folder, 'model.onnx');
    await writeOnnx(programWith(floats(5000)), path);
    const tensor = weightsOf(readOnnx(path)).get('w0');
    writeFileSync(path, readFileSync(path).subarray(0, 1000));
    expect(() => tensor?.bytes()).toThrow(/ends before the tensor does/);
  });
});

describe('external data', () => {
  const external = { thresholdBytes: 1024 };

  it('goes to model.onnx.data by default, small tensors stay', async () => {
    const path = join(folder, 'model.onnx');
    const files = await writeOnnx(programWith(floats(1000), floats(3), floats(2000, 7)), path, {
      externalData: external,
    });
    expect(files.map((file) => file.path)).toEqual([`${path}.data`, path]);
    expect(files.map((file) => file.byteLength)).toEqual([`${path}.data`, path].map((file) => statSync(file).size));
    const weights = weightsOf(readOnnx(path));
    const [first, second, third] = ['w0', 'w1', 'w2'].map((name) => weights.get(name));
    expect(first instanceof FileTensor && first.path.endsWith('.data')).toBe(true);
    expect(second).toBeInstanceOf(MemoryTensor);
    expect(sameBytes(third, floats(2000, 7))).toBe(true);
  });

  it('begins every tensor on a cache line, large ones on a page', async () => {
    const path = join(folder, 'model.onnx');
    await writeOnnx(programWith(floats(301), floats(300), floats(300_000)), path, { externalData: external });
    const offsets = [...weightsOf(readOnnx(path)).values()].map((tensor) => (tensor as FileTensor).byteOffset);
    expect(offsets).toEqual([0, 1216, 4096]);
  });

  it('takes the name that is asked for, and none is written when there is nothing to put in it', async () => {
    const path = join(folder, 'model.onnx');
    await writeOnnx(programWith(floats(1000)), path, { externalData: { ...external, fileName: 'model.onnx_data' } });
    expect(readdirSync(folder).sort()).toEqual(['model.onnx', 'model.onnx_data']);
    await writeOnnx(programWith(floats(2)), join(folder, 'small.onnx'), { externalData: external });
    expect(existsSync(join(folder, 'small.onnx.data'))).toBe(false);
  });

  it('of initializers inside of bodies too', async () => {
    const body = new Graph('body');
    const inner = new Value('inner');
    body.outputs.push(inner);
    body.insert(new Node({ op: 'Identity', inputs: [body.addInitializer('hidden', floats(500))], outputs: [inner] }));
    const program = programWith(floats(1));
    const condition = new Value('condition', { kind: 'tensor', dtype: 'bool', shape: [] });
    program.graph.inputs.push(condition);
    const attributes = { then_branch: { kind: 'graph', value: body } } as const;
    program.graph.insert(new Node({ op: 'If', inputs: [condition], outputs: [new Value('z')], attributes }));
    const path = join(folder, 'model.onnx');
    await writeOnnx(program, path, { externalData: external });
    const [read] = readOnnx(path).graph.nodes.at(-1)?.subgraphs() ?? [];
    const [value] = read?.initializers ?? [];
    expect(value?.tensor).toBeInstanceOf(FileTensor);
    expect(value?.tensor && sameBytes(value.tensor, floats(500))).toBe(true);
  });

  it('is used by itself where one file would be beyond 2 GiB, and refused where it is forbidden', async () => {
    const huge = new DerivedTensor('float32', [600_000_000], () => {
      throw new Error('must not be read');
    });
    await expect(writeOnnx(programWith(huge), join(folder, 'a.onnx'), { externalData: 'never' })).rejects.toThrow(
      /2 GiB/,
    );
    await expect(writeOnnx(programWith(huge), join(folder, 'b.onnx'))).rejects.toThrow(/must not be read/);
    expect(() => encodeProgram(programWith(huge))).toThrow(/2 GiB/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('writing', () => {
  it('gives the same bytes each time, from memory and from files', async () => {
    const paths = ['a.onnx', 'b.onnx', 'c.onnx'].map((name) => join(folder, name)) as [string, string, string];
    await writeOnnx(programWith(floats(5000), floats(3)), paths[0]);
    await writeOnnx(programWith(floats(5000), floats(3)), paths[1]);
    await writeOnnx(readOnnx(paths[0]), paths[2]);
    const [a, b, c] = paths.map((path) => readFileSync(path));
    expect(a?.equals(b as Buffer)).toBe(true);
    expect(a?.equals(c as Buffer)).toBe(true);
    expect(a?.equals(Buffer.from(encodeProgram(readOnnx(paths[0]))))).toBe(true);
  });

  it('refuses to overwrite a file that the model is read from', async () => {
    const path = join(folder, 'model.onnx');
    await writeOnnx(programWith(floats(5000)), path, { externalData: { thresholdBytes: 1, fileName: 'weights.bin' } });
    const before = readFileSync(join(folder, 'weights.bin'));
    const other = join(folder, 'other.onnx');
    const write = writeOnnx(readOnnx(path), other, { externalData: { thresholdBytes: 1, fileName: 'weights.bin' } });
    await expect(write).rejects.toMatchObject({ code: 'unsafe', where: { tensor: 'w0' } });
    expect(readFileSync(join(folder, 'weights.bin')).equals(before)).toBe(true);
  });

  it('leaves nothing behind when a tensor cannot be read, and the old file as it was', async () => {
    const path = join(folder, 'model.onnx');
    await writeOnnx(programWith(floats(10)), path);
    const before = readFileSync(path);
    const failing = new DerivedTensor('float32', [5000], () => {
      throw new Error('unreadable');
    });
    await expect(writeOnnx(programWith(failing), path)).rejects.toThrow('unreadable');
    expect(readdirSync(folder)).toEqual(['model.onnx']);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('stops when it is told to, with nothing left behind', async () => {
    const controller = new AbortController();
    const options = { signal: controller.signal, onProgress: () => controller.abort() };
    await expect(writeOnnx(programWith(floats(5000)), join(folder, 'model.onnx'), options)).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('tells of all bytes, in rising order', async () => {
    const seen: number[][] = [];
    const path = join(folder, 'model.onnx');
    await writeOnnx(programWith(floats(5000), floats(400)), path, {
      externalData: { thresholdBytes: 1024 },
      onProgress: (done, total) => seen.push([done, total]),
    });
    const total = statSync(path).size + statSync(`${path}.data`).size;
    expect(seen.at(-1)).toEqual([total, total]);
    expect(seen.every(([done], index) => index === 0 || (done ?? 0) >= (seen[index - 1]?.[0] ?? 0))).toBe(true);
  });

  it('says so when the folder is missing or a file is in the way', async () => {
    await expect(writeOnnx(programWith(floats(1)), join(folder, 'no', 'model.onnx'))).rejects.toMatchObject({
      code: 'resource',
    });
    mkdirSync(join(folder, 'taken.onnx'));
    await expect(writeOnnx(programWith(floats(1)), join(folder, 'taken.onnx'))).rejects.toMatchObject({
      code: 'resource',
    });
    expect(readdirSync(folder)).toEqual(['taken.onnx']);
  });

  it.skipIf(!existsSync('/dev/full'))('says so when the disk is full (needs /dev/full)', async () => {
    const { StagedFile } = await import('../../../../src/artifact/staged-file.ts');
    const file = await StagedFile.create(join(folder, 'x'));
    await file.discard();
    const { writeError } = await import('../../../../src/artifact/staged-file.ts');
    const full = await import('node:fs/promises').then(({ writeFile }) =>
      writeFile('/dev/full', 'x').catch((error: unknown) => error),
    );
    expect(writeError(full, 'out/model.onnx')).toMatchObject({
      code: 'resource',
      message: 'cannot write: the disk is full',
    });
  });
});
