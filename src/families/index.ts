import { CompressError } from '../errors.ts';
import type { Program } from '../ir/graph.ts';
import { bert } from './bert.ts';
import { configFile } from './config.ts';
import { type BuildOptions, type Family, type JsonObject, normaliseBuildOptions, type TensorSource } from './family.ts';
import { gpt2 } from './gpt2.ts';
import { llama } from './llama.ts';
import { mixtral } from './mixtral.ts';
import { vit } from './vit.ts';

export {
  type BuildOptions,
  type Family,
  type JsonObject,
  type TensorSource,
  unusedTensors,
} from './family.ts';

/** Every architecture that can be built from a checkpoint. */
export const families: readonly Family[] = [llama, gpt2, bert, vit, mixtral];

/**
 * The family that a configuration's `model_type` belongs to.
 * @throws 'malformed' where the configuration has none, 'unsupported' for an unknown one.
 */
export const familyOf = (config: JsonObject, file = 'config.json'): Family => {
  const modelType = config.model_type;
  const where = { file, key: 'model_type' };
  if (typeof modelType !== 'string')
    throw new CompressError({
      code: 'malformed',
      message: modelType === undefined ? 'the key model_type is missing' : 'model_type is no text',
      where,
      hint: 'A checkpoint folder needs the config.json that transformers writes.',
    });
  const family = families.find(({ modelTypes }) => modelTypes.includes(modelType));
  if (family) return family;
  const known = families.flatMap(({ modelTypes }) => modelTypes);
  throw new CompressError({
    code: 'unsupported',
    message: `no graph can be built for model type ${modelType}; known are ${known.join(', ')}`,
    where,
    hint: 'Export it to ONNX elsewhere and pass the .onnx file: every stage works on any ONNX graph.',
  });
};

/** The graph of a checkpoint, by the family of its configuration. Reads no weight. @throws as familyOf and Family.build. */
export const buildProgram = (config: JsonObject, weights: TensorSource, options: Partial<BuildOptions> = {}): Program =>
  familyOf(config, configFile(weights)).build(config, weights, normaliseBuildOptions(options));
