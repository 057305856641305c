import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packSite } from '../../../../src/analysis/site-weights.ts';
import { findSites } from '../../../../src/analysis/sites.ts';
import { formats } from '../../../../src/artifact/formats/index.ts';
import { writeSafetensors } from '../../../../src/artifact/formats/safetensors/write.ts';
import { openModel } from '../../../../src/artifact/open.ts';
import { ArtifactWriter, type WrittenFormat } from '../../../../src/artifact/write.ts';
import { cloneProgram } from '../../../../src/ir/clone.ts';
import type { Model } from '../../../../src/ir/model.ts';
import { floatTensor } from '../../../../src/ir/read.ts';
import { packRows } from '../../../../src/kernels/index.ts';
import { Random } from '../../../../src/random.ts';

const width = 64;
const inner = 96;
const vocabulary = 40;

/** A llama checkpoint of one layer whose linear layers fill words of 32 bits. */
export const writeCheckpointFolder = async (folder: string, changes: Record<string, unknown> = {}): Promise<void> => {
  const layer = 'model.layers.0';
  const shapes: Readonly<Record<string, readonly number[]>> = {
    'model.embed_tokens.weight': [vocabulary, width],
    [`${layer}.input_layernorm.weight`]: [width],
    [`${layer}.self_attn.q_proj.weight`]: [width, width],
    [`${layer}.self_attn.k_proj.weight`]: [32, width],
    [`${layer}.self_attn.v_proj.weight`]: [32, width],
    [`${layer}.self_attn.o_proj.weight`]: [width, width],
    [`${layer}.post_attention_layernorm.weight`]: [width],
    [`${layer}.mlp.gate_proj.weight`]: [inner, width],
    [`${layer}.mlp.up_proj.weight`]: [inner, width],
    [`${layer}.mlp.down_proj.weight`]: [width, inner],
    'model.norm.weight': [width],
  };
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...{ hidden_size: width, intermediate_size: inner, num_hidden_layers: 1, vocab_size: vocabulary },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 32, rms_norm_eps: 1e-5 },
    ...{ rope_theta: 10000, hidden_act: 'silu', tie_word_embeddings: true, torch_dtype: 'float16' },
    ...changes,
  };
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const count = shape.reduce((product, dim) => product * dim, 1);
    return { name, tensor: floatTensor(shape, new Random(0, name).normals(count, 0.1), 'float16') };
  });
  mkdirSync(folder, { recursive: true });
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'tokenizer.json'), '{}');
};

export interface Scheme {
  readonly bits: 2 | 3 | 4 | 8;
  readonly groupSize: number | 'row';
  readonly symmetric: boolean;
}

/** A copy of a model whose sites in blocks are packed with drawn integers; scales are exact in half precision. */
export const packBlocks = (model: Model, scheme: (site: string) => Scheme): Model => {
  const program = cloneProgram(model.program);
  for (const site of findSites(program)) {
    if (site.block === undefined) continue;
    const { bits, groupSize: asked, symmetric } = scheme(site.name);
    const groupSize = asked === 'row' ? site.columns : asked;
    const groups = Math.ceil(site.columns / groupSize);
    const random = new Random(1, site.name);
    const draw = (count: number, below: number): Uint8Array =>
      Uint8Array.from({ length: count }, () => random.integer(below));
    const storedBits = bits === 3 ? 4 : bits;
    const size = { rows: site.rows, columns: site.columns, bits: storedBits } as const;
    packSite(site, {
      ...{ bits, storedBits, groupSize, method: 'drawn' },
      codes: packRows({ ...size, codes: draw(site.rows * site.columns, 2 ** bits) }),
      scales: Float32Array.from({ length: site.rows * groups }, () => (random.integer(63) + 1) / 1024),
      zeroPoints: symmetric ? null : draw(site.rows * groups, 2 ** bits - 1).map((zero) => zero + 1),
    });
  }
  return { ...model, program };
};

/** Writes a model in one format into a folder of its own. */
export const writeFormat = async (
  model: Model,
  folder: string,
  name: string,
  options: Record<string, unknown> = {},
): Promise<WrittenFormat> => {
  const card = formats.find((format) => format.name === name)!;
  const writer = await ArtifactWriter.create(folder, { inputs: [], formatCount: 1 });
  const written = await writer.writeFormat(card, card.options.parse(options), model);
  await writer.commit({ version: '0', inputs: [], metrics: [], findings: [], family: model.family, recipe: undefined });
  return written;
};

/** Opens one folder and writes it in another format. */
export const repack = async (
  from: string,
  to: string,
  name: string,
  options: Record<string, unknown> = {},
): Promise<WrittenFormat> => writeFormat(await openModel(from), to, name, options);
