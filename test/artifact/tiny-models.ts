import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/artifact/formats/safetensors/write.ts';
import type { Program } from '../../src/ir/graph.ts';
import type { Model } from '../../src/ir/model.ts';
import { MemoryTensor } from '../../src/ir/tensor.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';

const randomFloats = (seed: number, ...shape: number[]): MemoryTensor => {
  const random = new Random(seed);
  const count = shape.reduce((product, dim) => product * dim, 1);
  const values = Float32Array.from({ length: count }, () => random.integer(2001) / 1000 - 1);
  return new MemoryTensor('float32', shape, new Uint8Array(values.buffer));
};

/** A network with a packed weight, a Constant node with a large tensor, a body that reads outer values, a shared tensor. */
export const tinyProgram = (): Program =>
  parseProgram(`
program opset=21 com.microsoft=1 { producer: "tests", "any key": "metadata" }
graph main(x: float32[batch, 32], flag: bool[]) -> (z: float32[batch, 8]) {
  w: float32[32, 8] = packed(bits=4, group_size=16, layout="rows-last", seed=1)
  b: float32[8] = random(seed=2)
  plain: float32[8, 40] = random(seed=3)
  large = Constant(value=tensor(float32[40, 8], random(seed=4)))
  h: float32[batch, 8] = MatMul(x, w) { name: "layers.0.proj", role: "up", block: "0" }
  s = Add(h, b) { name: "layers.0.add", block: "0" }
  m = MatMul(s, plain)
  n = MatMul(m, large)
  z = If(flag, then_branch=graph then() -> (p) { c: float32[300, 1] = random(seed=5)  q = Reshape(c, c)  p = LeakyRelu(n, alpha=0.1) }, else_branch=graph else() -> (e) { e = Abs(n) })
}
`);

export const tinyModel = (): Model => ({
  program: tinyProgram(),
  family: 'llama',
  config: { model_type: 'llama' },
  companions: [],
  origin: 'memory',
});

/** A llama checkpoint folder with one layer of width 8, as small as its family takes. */
export const writeTinyCheckpoint = async (
  folder: string,
  files: Readonly<Record<string, string>> = {},
): Promise<void> => {
  const shapes: Readonly<Record<string, readonly number[]>> = {
    'model.embed_tokens.weight': [16, 8],
    'model.layers.0.input_layernorm.weight': [8],
    'model.layers.0.self_attn.q_proj.weight': [8, 8],
    'model.layers.0.self_attn.k_proj.weight': [8, 8],
    'model.layers.0.self_attn.v_proj.weight': [8, 8],
    'model.layers.0.self_attn.o_proj.weight': [8, 8],
    'model.layers.0.post_attention_layernorm.weight': [8],
    'model.layers.0.mlp.gate_proj.weight': [12, 8],
    'model.layers.0.mlp.up_proj.weight': [12, 8],
    'model.layers.0.mlp.down_proj.weight': [8, 12],
    'model.norm.weight': [8],
    'lm_head.weight': [16, 8],
  };
  const config = {
    model_type: 'llama',
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 2,
    vocab_size: 16,
    max_position_embeddings: 32,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: false,
  };
  mkdirSync(folder, { recursive: true });
  const tensors = Object.entries(shapes).map(([name, shape], seed) => ({ name, tensor: randomFloats(seed, ...shape) }));
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
};
