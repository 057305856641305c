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
import type { WrittenFile } from '../../written-file.ts';
import { type FormatCard, type FormatContext, type PrecisionName, precisionNames } from '../format.ts';
import { compactGraph, compactOption } from '../onnx/lower/compact.ts';
import { lowerToMatMulNBits } from '../onnx/lower/matmulnbits.ts';
import { lowerForTarget } from '../onnx/target/lower.ts';
import { type ExternalData, writeOnnx } from '../onnx/write.ts';
import { type WeightFacts, weightFacts } from '../weight-facts.ts';
import { fileSuffixes, precisionOf } from './precision.ts';
import { makeTokenizerConfig } from './tokenizer-config.ts';

/** Chunks of external data that transformers.js looks for. */
const mostChunks = 100;

/** Constants that fit one protobuf file together, with room for everything else. */
const largestInline = 1_900_000_000;
/** Largest array that browsers can be relied on to have. */
const largestInBrowser = 2 ** 31 - 1;

const options = z.strictObject({
  dtype: z
    .enum(['auto', ...precisionNames])
    .default('auto')
    .describe('Name that transformers.js loads the model by; auto: what most of its weights are.'),
  dtypes: z
    .array(z.enum(precisionNames))
    .refine((names) => new Set(names).size === names.length, 'a precision is named twice')
    .default([])
    .describe(
      'Precisions, each a file of its own (default: the one that the model has): the one that the model has is written as it is, others are made from the model before it was quantized (q8, int8, uint8: dynamic; q4, q2: rounded to nearest in groups of 32; bnb4: NormalFloat).',
    ),
  accuracy_level: z
    .literal([0, 1, 2, 3, 4])
    .default(0)
    .describe('Least precision of the products: 0 as the inputs, 1 float32, 2 float16, 3 bfloat16, 4 int8'),
  compact: compactOption,
  external_data: z
    .enum(['auto', 'never', 'always'])
    .default('auto')
    .describe('Whether weights go to a .onnx_data file: auto (only beyond what one file can hold), never, always'),
  chunk_size: z
    .int()
    .min(1024)
    .default(largestInBrowser)
    .describe('Bytes of a .onnx_data file; what does not fit follows in .onnx_data_1, _2, … (default: 2 GiB less one)'),
});

type Options = z.output<typeof options>;

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

const externalDataFor = (program: Program, file: string, chosen: Options): ExternalData =>
  chosen.external_data === 'always' || (chosen.external_data === 'auto' && constantBytes(program) > largestInline)
    ? { thresholdBytes: 1024, fileName: `${file}_data`, chunkBytes: chosen.chunk_size }
    : 'never';

const isRecord = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** config.json with what transformers.js has to know to pick the file: precision, and numbers of data files. */
const withClientConfig = (
  config: JsonObject,
  dtype: PrecisionName,
  chunks: Readonly<Record<string, number>>,
): JsonObject => {
  const known = isRecord(config['transformers.js_config']) ? config['transformers.js_config'] : {};
  const data = isRecord(known.use_external_data_format) ? known.use_external_data_format : {};
  return {
    ...config,
    'transformers.js_config': {
      ...known,
      dtype,
      ...(Object.keys(chunks).length > 0 ? { use_external_data_format: { ...data, ...chunks } } : {}),
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

/** The model in one precision: as it is where it has that one. @throws unsupported outside of a run. */
const inPrecision = async (
  model: Model,
  dtype: PrecisionName,
  { convert }: FormatContext,
): Promise<{ readonly model: Model; readonly findings: readonly Finding[] }> => {
  if (precisionOf(model.program) === dtype) return { model, findings: [] };
  if (convert) return convert(dtype);
  throw new CompressError({
    code: 'unsupported',
    message: `the model is ${precisionOf(model.program)}, and ${dtype} has to be made from it`,
    where: { file: model.origin },
    hint: 'Precisions are made by the commands run and export.',
  });
};

/** One precision as it was written. */
interface WrittenVariant {
  readonly file: string;
  readonly files: readonly WrittenFile[];
  readonly weights: readonly WeightFacts[];
  readonly findings: readonly Finding[];
}

const writeVariant = async (
  model: Model,
  dtype: PrecisionName,
  directory: string,
  chosen: Options,
  context: FormatContext,
): Promise<WrittenVariant> => {
  const file = `model${fileSuffixes[dtype]}.onnx`;
  const program = cloneProgram(model.program);
  const lowering = lowerForTarget(program, context.target, (lowered, target) =>
    lowerToMatMulNBits(lowered, { accuracyLevel: chosen.accuracy_level, target }),
  );
  if (chosen.compact) compactGraph(program);
  const externalData = externalDataFor(program, file, chosen);
  const files = await writeOnnx(program, join(directory, 'onnx', file), { ...context, externalData });
  if (files.length - 1 > mostChunks)
    throw new CompressError({
      code: 'unsupported',
      message: `the weights take ${files.length - 1} data files, and transformers.js reads ${mostChunks}`,
      where: { file: join(directory, 'onnx', file) },
      hint: 'Choose a larger chunk_size.',
    });
  return { file, files, weights: weightFacts(model.program, lowering), findings: lowering.findings };
};

/** A folder that `pipeline(task, folder)` of @huggingface/transformers loads without options. */
export const transformersJsFormat: FormatCard<Options> = {
  name: 'transformersjs',
  summary: 'folder for @huggingface/transformers: onnx/model_q4.onnx and the like, configuration and tokenizer',
  options,
  layout: 'generation',
  async write(model: Model, directory: string, chosen: Options, context: FormatContext) {
    const config = checkModel(model);
    const own = chosen.dtype === 'auto' ? precisionOf(model.program) : chosen.dtype;
    await mkdir(join(directory, 'onnx'), { recursive: true });
    const usual = chosen.dtypes.length === 0 || chosen.dtypes.includes(own) ? own : chosen.dtypes[0]!;
    const variants: WrittenVariant[] = [];
    for (const dtype of chosen.dtypes.length === 0 ? [own] : chosen.dtypes) {
      const made = dtype === own ? { model, findings: [] } : await inPrecision(model, dtype, context);
      const written = await writeVariant(made.model, dtype, directory, chosen, context);
      const findings = [...made.findings, ...written.findings];
      variants.push({
        ...written,
        findings:
          chosen.dtypes.length === 0
            ? findings
            : findings.map((finding) => ({ ...finding, text: `${dtype}: ${finding.text}` })),
      });
    }
    const chunks = Object.fromEntries(
      variants.flatMap(({ file, files }) => (files.length > 1 ? [[file, files.length - 1]] : [])),
    );
    await writeJson(join(directory, 'config.json'), withClientConfig(config, usual, chunks));
    const main = variants.find(({ file }) => file === `model${fileSuffixes[usual]}.onnx`)!;
    const findings = [
      ...variants.flatMap((variant) => variant.findings),
      ...(await completeTokenizer(model, config, directory)),
    ];
    const files = variants.flatMap((variant) => variant.files);
    return { files, entry: `onnx/${main.file}`, weights: main.weights, findings };
  },
};
