import { z } from 'zod';
import type { FormatCard } from '../format.ts';
import { withPackedWeights } from '../onnx/lift/lift.ts';
import { weightFacts } from '../weight-facts.ts';
import { storedWeights } from './stored-weights.ts';
import { storageType, storageTypeOf, storedAs, weightsName, withStorageType, writeCheckpoint } from './write.ts';

const options = z.strictObject({ dtype: storageType });

/** A checkpoint folder as transformers has it; what stages did to the weights is in it. */
export const huggingFaceFormat: FormatCard<z.output<typeof options>> = {
  name: 'huggingface',
  summary:
    'checkpoint folder of plain weights for transformers: config.json, model.safetensors; quantized ones dequantized',
  options,
  layout: undefined,
  foresee: (weights) =>
    weights.length === 0
      ? []
      : [{ kind: 'warning', text: `huggingface holds ${weights.length} quantized weights dequantized` }],
  async write(given, directory, chosen, context) {
    const model = withPackedWeights(given);
    const dtype = storageTypeOf(chosen.dtype, model);
    const tensors = storedWeights(model).map(({ name, tensor }) => ({ name, tensor: storedAs(name, tensor, dtype) }));
    const config = withStorageType(model.config ?? {}, dtype);
    const files = await writeCheckpoint(directory, { config, tensors }, context);
    return { files, entry: weightsName, weights: weightFacts(model.program, undefined), findings: [] };
  },
};
