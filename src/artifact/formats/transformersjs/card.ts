import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CompressError } from '../../../errors.ts';
import type { JsonObject } from '../../../families/family.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Model } from '../../../ir/model.ts';
import { graphsWithin } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import { readJsonObject } from '../../json-file.ts';
import type { WriteOptions, WrittenFile } from '../../written-file.ts';
import type { FormatCard } from '../format.ts';
import { lowerToMatMulNBits } from '../onnx/lower/matmulnbits.ts';
import { type ExternalData, writeOnnx } from '../onnx/write.ts';
import { weightFacts } from '../weight-facts.ts';
import { fileSuffixes, type PrecisionName, precisionOf } from './precision.ts';
import { makeTokenizerConfig } from './tokenizer-config.ts';

const options = z.strictObject({
  dtype: z
    .enum(['auto', ...(Object.keys(fileSuffixes) as PrecisionName[])])
    .default('auto')
    .describe('Name that transformers.js loads the model by; auto: what most of its weights are.'),
  accuracy_level: z
    .literal([0, 1, 2, 3, 4])
    .default(0)
    .describe('Least precision of the products: 0 as the inputs, 1 float32, 2 float16, 3 bfloat16, 4 int8'),
  external_data: z
    .enum(['auto', 'never', 'always'])
    .default('auto')
    .describe('Whether weights go to a .onnx_data file: auto (only beyond what one file can hold), never, always'),
});

type Options = z.output<typeof options>;

/** Constants that fit one protobuf file together, with room for everything else. */
const largestInline = 1_900_000_000;
/** Largest array that browsers can be relied on to have. */
const largestInBrowser = 2 ** 31 - 1;

const textModel = /(ForCausalLM|LMHeadModel)$/;

const isDecoder = (config: JsonObject): boolean =>
  Array.isArray(config.architectures) &&
  config.architectures.some((name) => typeof name === 'string' && textModel.test(name));

const checkModel = (model: Model): JsonObject => {
  const { config, program, origin } = model;
  if (!config)
    throw new CompressError({
      code: 'unsupported',
      message: 'transformers.js loads models by their config.json, and there is none beside this model',
      where: { file: origin },
      hint: 'Put the config.json (and the tokenizer files) of the model beside it, or write the format onnx.',
    });
  const remembers = program.graph.inputs.some(({ name }) => name.startsWith('past_key_values'));
  if (isDecoder(config) && !remembers)
    throw new CompressError({
      code: 'unsupported',
      message:
        'transformers.js generates text from graphs that take and give past keys and values; this one only scores',
      where: { file: origin },
      hint: 'Open the checkpoint in the generation layout: model: { path: …, layout: generation }.',
    });
  return config;
};

const constantBytes = (program: Program): number =>
  [...graphsWithin(program.graph)]
    .flatMap((graph) => [...graph.initializers])
    .reduce((sum, { tensor }) => sum + (tensor?.byteLength ?? 0), 0);

const externalDataFor = (program: Program, file: string, choice: Options['external_data']): ExternalData =>
  choice === 'always' || (choice === 'auto' && constantBytes(program) > largestInline)
    ? { thresholdBytes: 1024, fileName: `${file}_data` }
    : 'never';

const isRecord = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** config.json with what transformers.js has to know to pick the file. */
const withClientConfig = (config: JsonObject, dtype: PrecisionName, file: string, hasData: boolean): JsonObject => {
  const known = isRecord(config['transformers.js_config']) ? config['transformers.js_config'] : {};
  const data = isRecord(known.use_external_data_format) ? known.use_external_data_format : {};
  return {
    ...config,
    'transformers.js_config': {
      ...known,
      dtype,
      ...(hasData ? { use_external_data_format: { ...data, [file]: 1 } } : {}),
    },
  };
};

const writeJson = (path: string, value: JsonObject): Promise<void> =>
  writeFile(path, `${JSON.stringify(value, undefined, 2)}\n`);

/** Writes the tokenizer_config.json where only a tokenizer.json is there. */
const completeTokenizer = async (model: Model, config: JsonObject, directory: string): Promise<Finding[]> => {
  const pathOf = (name: string): string | undefined => model.companions.find((file) => file.name === name)?.path;
  const tokenizer = pathOf('tokenizer.json');
  if (!tokenizer)
    return isDecoder(config)
      ? [{ kind: 'warning', text: 'there is no tokenizer.json: transformers.js can run the model on token ids only' }]
      : [];
  if (pathOf('tokenizer_config.json')) return [];
  await writeJson(join(directory, 'tokenizer_config.json'), makeTokenizerConfig(readJsonObject(tokenizer), config));
  return [{ kind: 'fact', text: 'tokenizer_config.json was made from config.json and tokenizer.json' }];
};

const dataFindings = (files: readonly WrittenFile[]): Finding[] =>
  files
    .filter(({ byteLength }) => byteLength > largestInBrowser)
    .map(({ path, byteLength }) => ({
      kind: 'warning',
      text: `${path} takes ${byteLength} bytes: browsers may refuse arrays beyond 2 GiB`,
    }));

/** A folder that `pipeline(task, folder)` of @huggingface/transformers loads without options. */
export const transformersJsFormat: FormatCard<Options> = {
  name: 'transformersjs',
  summary: 'folder for @huggingface/transformers: onnx/model_q4.onnx and the like, configuration and tokenizer',
  options,
  layout: 'generation',
  async write(model: Model, directory: string, chosen: Options, context: WriteOptions) {
    const config = checkModel(model);
    const dtype = chosen.dtype === 'auto' ? precisionOf(model.program) : chosen.dtype;
    const file = `model${fileSuffixes[dtype]}.onnx`;
    const program = cloneProgram(model.program);
    const lowering = lowerToMatMulNBits(program, { accuracyLevel: chosen.accuracy_level });
    const externalData = externalDataFor(program, file, chosen.external_data);
    await mkdir(join(directory, 'onnx'), { recursive: true });
    const files = await writeOnnx(program, join(directory, 'onnx', file), { ...context, externalData });
    await writeJson(join(directory, 'config.json'), withClientConfig(config, dtype, file, files.length > 1));
    const findings = [
      ...lowering.findings,
      ...(await completeTokenizer(model, config, directory)),
      ...dataFindings(files),
    ];
    return { files, entry: `onnx/${file}`, weights: weightFacts(model.program, lowering), findings };
  },
};
