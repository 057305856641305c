import { z } from 'zod';
import { parseConfig, type QuantizationConfig } from '../quantized/config.ts';
import { modulesWith, PartReader, type QuantizedModule } from '../quantized/modules.ts';
import type { SafetensorsSource } from '../safetensors/open.ts';
import { scaledFloats } from './scaled.ts';

const schema = z.looseObject({ weight_block_size: z.tuple([z.int().min(1), z.int().min(1)]).nullish() });

/**
 * The weights of a checkpoint of 8-bit floats with `weight_scale_inv` beside them (block-wise, as DeepSeek and Qwen
 * publish them) or `weight_scale`: both are factors of the stored numbers. Reads no weight.
 * @throws everything that is wrong with the tensors, a missing scale among it.
 */
export const readFloat8 = (source: SafetensorsSource, description: QuantizationConfig): QuantizedModule[] => {
  const { weight_block_size: block } = parseConfig(schema, description);
  const reader = new PartReader(source);
  const modules = modulesWith(source, 'weight').flatMap((path): QuantizedModule[] => {
    const weight = `${path}.weight`;
    const { dtype } = source.get(weight);
    if (dtype !== 'float8e4m3fn' && dtype !== 'float8e5m2') return [];
    const scale = source.has(`${path}.weight_scale`) ? `${path}.weight_scale` : `${path}.weight_scale_inv`;
    const tensor = scaledFloats(reader, weight, scale, block ?? undefined);
    return tensor ? [{ path, parts: [weight, scale], tensor }] : [];
  });
  reader.finish();
  return modules;
};
