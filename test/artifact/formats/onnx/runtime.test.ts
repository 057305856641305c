import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelProtoSchema } from '../../../../src/artifact/formats/onnx/generated/onnx_pb.ts';
import { decodeProgram } from '../../../../src/artifact/formats/onnx/read.ts';
import { encodeProgram, writeOnnx } from '../../../../src/artifact/formats/onnx/write.ts';
import { loadSnapshot, saveSnapshot } from '../../../../src/artifact/snapshot.ts';
import type { Program } from '../../../../src/ir/graph.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelpress-runtime-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Products with plain and packed weights, one of them in a body. */
const program = (): Program =>
  parseProgram(`
program opset=21
graph main(x: float32[2, 32]) -> (z: float32[2, 8]) {
  w: float32[32, 64] = random(seed=1)
  v: float32[64, 8] = packed(bits=4, group_size=16, layout="rows-last", seed=2)
  yes: bool[] = true
  h = MatMul(x, w)
  y = MatMul(h, v)
  z = If(yes, then_branch=graph then() -> (p) { u: float32[8, 8] = random(seed=3)  p = MatMul(y, u) }, else_branch=graph else() -> (e) { e = Abs(y) })
}
`);

const x = Float32Array.from({ length: 64 }, (_, index) => Math.sin(index));

const outputOf = async (model: Uint8Array | string): Promise<readonly number[]> => {
  const session = await (typeof model === 'string' ? InferenceSession.create(model) : InferenceSession.create(model));
  const outputs = await session.run({ x: new Tensor('float32', x, [2, 32]) });
  await session.release();
  return [...((outputs.z as Tensor).data as Float32Array)];
};

describe('onnxruntime computes the same from every form of a program', () => {
  it('in memory, in one file, with external data, through a snapshot', async () => {
    const wanted = await outputOf(encodeProgram(program()));
    expect(wanted.some((value) => Math.abs(value) > 0.01)).toBe(true);
    const single = join(folder, 'single.onnx');
    await writeOnnx(program(), single);
    expect(await outputOf(single)).toEqual(wanted);
    const external = join(folder, 'external.onnx');
    await writeOnnx(program(), external, { externalData: { thresholdBytes: 64 } });
    expect(await outputOf(external)).toEqual(wanted);
    const model = { program: program(), family: undefined, config: undefined, companions: [], origin: '' };
    await saveSnapshot(model, folder);
    expect(await outputOf(encodeProgram(loadSnapshot(folder).program))).toEqual(wanted);
  });

  it('whether weights stand in typed lists or in raw data, and when they are sparse', async () => {
    const shape = [32n, 8n];
    const values = Array.from({ length: 256 }, (_, index) => (index % 5 === 0 ? Math.cos(index) : 0)).map(Math.fround);
    const raw = new Uint8Array(Float32Array.from(values).buffer);
    const kept = values.flatMap((value, index) => (value === 0 ? [] : [index]));
    const weight = { name: 'w', dataType: 1, dims: shape };
    const forms = [
      { initializer: [{ ...weight, rawData: raw }] },
      { initializer: [{ ...weight, floatData: values }] },
      {
        sparseInitializer: [
          {
            values: { ...weight, dims: [BigInt(kept.length)], floatData: kept.map((index) => values[index] ?? 0) },
            indices: { dataType: 7, dims: [BigInt(kept.length)], int64Data: kept.map(BigInt) },
            dims: shape,
          },
        ],
      },
    ];
    const type = { value: { case: 'tensorType' as const, value: { elemType: 1 } } };
    const outputs: (readonly number[])[] = [];
    for (const form of forms) {
      const bytes = toBinary(
        ModelProtoSchema,
        create(ModelProtoSchema, {
          irVersion: 10n,
          opsetImport: [{ domain: '', version: 21n }],
          graph: {
            name: 'main',
            node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['z'] }],
            input: [{ name: 'x', type }],
            output: [{ name: 'z', type }],
            ...form,
          },
        }),
      );
      outputs.push(await outputOf(bytes), await outputOf(encodeProgram(decodeProgram(bytes))));
    }
    for (const output of outputs) expect(output).toEqual(outputs[0]);
  });
});
