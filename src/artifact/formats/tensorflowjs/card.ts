import { z } from 'zod';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { FormatCard } from '../format.ts';
import { weightFacts } from '../weight-facts.ts';
import { weightForms } from './encode-weight.ts';
import { modelFileName, writeLayersModel } from './write.ts';

const optionsSchema = z.strictObject({
  weights: z
    .enum(weightForms)
    .default('float32')
    .describe('How weights are stored: as they are, as halves, or as integers with one scale and offset a weight'),
  shard_bytes: z
    .int()
    .min(1024)
    .default(4 * 1024 * 1024)
    .describe('Bytes of each file of weights; browsers cache files of up to 4 MiB'),
});

type Options = z.infer<typeof optionsSchema>;

const bitsOf = { float32: 32, float16: 16, uint8: 8, uint16: 16 } as const;

/** TensorFlow.js models in layers format; for models that were read from one. */
export const tensorflowJsFormat: FormatCard<Options> = {
  name: 'tensorflowjs',
  summary: 'model.json and shards in the layers format of TensorFlow.js, for models that were read from it',
  options: optionsSchema,
  layout: undefined,
  async write(model, directory, options, context) {
    const { program } = model;
    const files = await writeLayersModel(
      program,
      directory,
      { weights: options.weights, shardBytes: options.shard_bytes },
      context,
    );
    const packed = [...program.graph.initializers].filter(({ tensor }) => tensor instanceof PackedTensor);
    const findings: Finding[] = packed.map(({ name }) => ({
      kind: 'fallback',
      text: `the integers of ${name} are stored as ${options.weights}: the layers format has one scale a weight`,
      site: name,
    }));
    const weights = weightFacts(program, undefined).map((fact) => ({
      ...fact,
      bits: bitsOf[options.weights],
      groupSize: 0,
      form: 'plain',
    }));
    return { files, entry: modelFileName, weights, findings };
  },
};
