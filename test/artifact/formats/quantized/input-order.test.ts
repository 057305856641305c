import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { encodeWeights } from '../../../../src/artifact/formats/gptq/codec.ts';
import {
  groupIndexOf,
  groupIndexProblem,
  inputOrderOf,
} from '../../../../src/artifact/formats/quantized/input-order.ts';
import { openSafetensors } from '../../../../src/artifact/formats/safetensors/open.ts';
import { writeSafetensors } from '../../../../src/artifact/formats/safetensors/write.ts';
import { openModel } from '../../../../src/artifact/open.ts';
import { onnxruntimeEngine } from '../../../../src/execution/onnxruntime.ts';
import type { Model } from '../../../../src/ir/model.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { MemoryTensor } from '../../../../src/ir/tensor.ts';
import { Random } from '../../../../src/random.ts';
import { packBlocks, repack, writeCheckpointFolder, writeFormat } from './folders.ts';

const root = mkdtempSync(join(tmpdir(), 'modelpress-order-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (...names: string[]): string => join(root, ...names);

const shuffled = (count: number, seed: string): Uint32Array => {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  const random = new Random(3, seed);
  for (let last = count - 1; last > 0; last--) {
    const other = random.integer(last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
};

/** Gives the linear layers of a GPTQ folder another order of inputs: q, k and v, which read the same, the same one. */
const disorder = async (from: string, to: string): Promise<void> => {
  const source = openSafetensors(at(from, 'model.safetensors'));
  const { program } = await openModel(at(from));
  const weights = new Map([...program.graph.initializers].map(({ name, tensor }) => [name, tensor]));
  const tensors = source.names.map((name) => {
    const path = name.replace(/\.\w+$/, '');
    const packed = weights.get(`${path}.weight`);
    if (!(packed instanceof PackedTensor) || !/g_idx|qweight/.test(name)) return { name, tensor: source.get(name) };
    const { columns, groupSize } = packed.facts;
    const drawn = shuffled(columns, path.replace(/[qkv]_proj/, 'qkv'));
    const index = groupIndexOf(columns, groupSize, drawn);
    const order = inputOrderOf(index)!;
    const bytes = name.endsWith('g_idx')
      ? new Uint8Array(index.buffer)
      : encodeWeights(packed.seenAs({ shape: [packed.facts.rows, columns], layout: 'rows-first' }).facts, order);
    return { name, tensor: new MemoryTensor('int32', source.get(name).shape, bytes) };
  });
  await writeCheckpointFolder(at(to));
  await writeSafetensors(at(to, 'model.safetensors'), tensors, { format: 'pt' });
  const config = JSON.parse(readFileSync(at(from, 'config.json'), 'utf8'));
  config.quantization_config.desc_act = true;
  writeFileSync(at(to, 'config.json'), JSON.stringify(config));
  writeFileSync(at(to, 'quantize_config.json'), JSON.stringify(config.quantization_config));
};

const logits = async (model: Model): Promise<Float32Array> => {
  const session = await onnxruntimeEngine.open(model.program, { threads: 1 });
  try {
    const ids = BigInt64Array.from([1n, 7n, 3n, 22n, 9n, 30n]);
    const mask = new BigInt64Array(6).fill(1n);
    const named = { input_ids: ids, attention_mask: mask };
    const feeds = new Map(
      model.program.graph.inputs.map(({ name }) => [
        name,
        { dtype: 'int64' as const, shape: [1, 6], data: named[name as keyof typeof named] },
      ]),
    );
    const outputs = await session.run(feeds);
    return outputs.get('logits')!.data as Float32Array;
  } finally {
    await session.close();
  }
};

describe('checkpoints whose inputs are grouped in an order of their own', () => {
  test('the graph puts the inputs in order, once for all layers that read the same', async () => {
    await writeCheckpointFolder(at('plain'));
    const model = packBlocks(await openModel(at('plain')), () => ({ bits: 4, groupSize: 32, symmetric: false }));
    await writeFormat(model, at('natural'), 'gptq');
    await disorder('natural', 'ordered');
    const opened = await openModel(at('ordered'));
    const gathers = opened.program.graph.nodes.filter(({ op, name }) => op === 'Gather' && name.includes('in_order'));
    expect(gathers).toHaveLength(5);
    const dense = at('dense');
    await writeFormat(opened, dense, 'huggingface', { dtype: 'float32' });
    const wanted = await logits(await openModel(dense));
    const got = await logits(opened);
    expect(Math.max(...wanted.map((value, index) => Math.abs(value - got[index]!)))).toBeLessThan(1e-4);
  });

  test('they come back byte for byte, through compressed-tensors and both ONNX forms too', async () => {
    await repack(at('ordered'), at('gptq'), 'gptq');
    await repack(at('gptq'), at('ct'), 'compressed-tensors');
    await repack(at('ct'), at('blocks'), 'onnx-matmulnbits');
    await repack(at('blocks'), at('qdq'), 'onnx-qdq');
    await repack(at('qdq'), at('again'), 'gptq');
    const file = (folder: string): Buffer => readFileSync(at(folder, 'model.safetensors'));
    const source = openSafetensors(at('ordered', 'model.safetensors'));
    const written = openSafetensors(at('gptq', 'model.safetensors'));
    for (const name of source.names) expect(written.get(name).bytes(), name).toEqual(source.get(name).bytes());
    expect(file('again').equals(file('gptq'))).toBe(true);
    expect(JSON.parse(readFileSync(at('again', 'config.json'), 'utf8')).quantization_config.desc_act).toBe(true);
  });

  test('groups that are too large, too small or not there are told', () => {
    expect(groupIndexProblem(Int32Array.of(0, 0, 1, 1), 2)).toBeUndefined();
    expect(groupIndexProblem(Int32Array.of(1, 0, 0, 1, 2), 2)).toBeUndefined();
    expect(groupIndexProblem(Int32Array.of(0, 0, 0, 1), 2)).toBe('group 0 has 3 inputs where 2 belong');
    expect(groupIndexProblem(Int32Array.of(0, 0, 2, 1), 2)).toBe('input 2 is given to group 2, and there are 2 groups');
  });
});
