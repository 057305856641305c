import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../src/artifact/formats/huggingface/open.ts';
import { openSafetensors } from '../../src/artifact/formats/safetensors/open.ts';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { arrayFromBytes, floatsOfArray } from '../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { type Feeds, withSession } from '../../src/execution/session.ts';
import type { BuildOptions } from '../../src/families/family.ts';
import { buildProgram } from '../../src/families/index.ts';
import type { Program } from '../../src/ir/graph.ts';

const root = resolve(import.meta.dirname, '../../fixtures/reference');

/** A tiny model with the inputs and outputs that PyTorch computed for it (fixtures/reference/make.py). */
export interface Golden {
  readonly name: string;
  readonly checkpoint: Checkpoint;
  readonly arrays: ReadonlyMap<string, NumericArray>;
}

/** Names of all golden cases. */
export const goldenNames = readdirSync(root).filter((name) => existsSync(join(root, name, 'golden.safetensors')));

export const openGolden = (name: string): Golden => {
  const folder = join(root, name);
  const source = openSafetensors(join(folder, 'golden.safetensors'));
  const arrays = new Map(
    source.names.map((key) => {
      const tensor = source.get(key);
      return [key, arrayFromBytes(tensor.dtype, tensor.shape, tensor.bytes())];
    }),
  );
  return { name, checkpoint: openCheckpoint(folder), arrays };
};

export const buildGolden = ({ checkpoint }: Golden, options: Partial<BuildOptions> = {}): Program =>
  buildProgram(checkpoint.config, checkpoint.tensors, options);

/** Runs a program once. Inputs that it does not have are left out. */
export const runProgram = (program: Program, feeds: Feeds): Promise<Map<string, NumericArray>> =>
  withSession(onnxruntimeEngine, program, { threads: 1 }, (session) =>
    session.run(new Map([...feeds].filter(([name]) => session.inputNames.includes(name)))),
  );

/** Largest absolute difference, over the elements that `counts` admits. */
export const largestDifference = (
  found: NumericArray | undefined,
  wanted: NumericArray | undefined,
  counts: (index: number) => boolean = () => true,
): number => {
  if (!found || !wanted) throw new Error('an array is missing');
  if (found.shape.join() !== wanted.shape.join()) throw new Error(`shape ${found.shape} is not ${wanted.shape}`);
  const a = floatsOfArray(found);
  const b = floatsOfArray(wanted);
  let largest = 0;
  for (let index = 0; index < a.length; index++) {
    if (!counts(index)) continue;
    const difference = Math.abs(a[index]! - b[index]!);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
};

/** Channels of each head of a golden decoder. */
const headSizeOf = ({ checkpoint: { config } }: Golden): number =>
  Number(
    config.head_dim ??
      Number(config.hidden_size ?? config.n_embd) / Number(config.num_attention_heads ?? config.n_head),
  );

/** Whether onnxruntime's fused attention of decoders can take a golden's heads. */
export const fitsFusedAttention = (golden: Golden): boolean => headSizeOf(golden) % 8 === 0;

/** Goldens with one row of logits per token that predict the next one. */
export const isDecoder = ({ checkpoint: { config } }: Golden): boolean =>
  /ForCausalLM$|^GPT2LMHeadModel$/.test(String(config.architectures));
