import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { parseTarget, type Target, targetForm } from '../artifact/formats/onnx/target/target.ts';
import { CompressError } from '../errors.ts';
import { opsetRange } from '../families/family.ts';
import { parseBytes } from './quantity.ts';

/** Bytes that activations and statistics may take where a recipe does not say. */
const defaultMaxMemory = 2 * 2 ** 30;

const path = z.string().min(1);

const modelPath = path.describe(
  'An .onnx file, or a folder with a checkpoint, an earlier output or a transformers.js export.',
);

const modelSchema = z.union([
  modelPath,
  z
    .strictObject({
      path: modelPath,
      layout: z
        .enum(['scoring', 'generation'])
        .optional()
        .describe(
          'scoring (input_ids → logits) or generation (cached keys and values). Default: what the written formats need.',
        ),
      opset: z
        .int()
        .min(opsetRange.oldest)
        .max(opsetRange.newest)
        .optional()
        .describe('Version of the standard ONNX operators (default 21).'),
      fused: z.boolean().optional().describe('Use fused operators of onnxruntime (default false).'),
      dtype: z.enum(['float32', 'float16']).optional().describe('Element type of weights and activations.'),
      pooler: z.boolean().optional().describe('An encoder also gives its pooled output (default false).'),
    })
    .describe('A model, and how the graph of a checkpoint is built. ONNX files are taken as they are.'),
]);

const bytesSchema = z.union([z.string(), z.number()]).transform((written, context): number => {
  const bytes = parseBytes(written);
  if (bytes !== undefined && bytes >= 2 ** 20) return bytes;
  context.addIssue({
    code: 'custom',
    message: `expected a size of at least 1MiB, like 2GiB, found ${JSON.stringify(written)}`,
  });
  return z.NEVER;
});

const targetSchema = z.string().transform((written, context): Target => {
  try {
    return parseTarget(written);
  } catch (error) {
    if (!(error instanceof CompressError)) throw error;
    context.addIssue({ code: 'custom', message: `${error.message}. ${error.hint ?? ''}`.trim() });
    return z.NEVER;
  }
});

/** What stands in the places of a recipe whose keys depend on tables: kinds of data, stages, formats, gates. */
export interface RecipeParts {
  readonly dataset: z.ZodType;
  readonly stage: z.ZodType;
  readonly format: z.ZodType;
  readonly metric: z.ZodType;
  readonly gate: z.ZodType;
}

/** The recipe's own keys. */
export const recipeSchema = (parts: RecipeParts) => {
  const datasets = z.union([z.array(parts.dataset), parts.dataset]);
  return z.strictObject({
    model: modelSchema,
    output: path.describe('Folder for the result. It appears, or is replaced, only when the result is complete.'),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0)
      .describe('Decides everything that is drawn at random.'),
    data: z
      .strictObject({
        calibration: datasets.optional().describe('Samples that methods look at while they work.'),
        training: datasets
          .optional()
          .describe('Samples that training stages (distill) learn from; default: those of calibration.'),
        evaluation: datasets.optional().describe('Samples that metrics are measured on, before and after.'),
      })
      .default({})
      .describe('Where samples come from. Each is a map with one kind of data, or the text kind:path,key=value,…'),
    stages: z.array(parts.stage).default([]).describe('What is done to the model, in this order.'),
    write: z
      .union([z.array(parts.format).min(1), parts.format])
      .default(['onnx'])
      .describe('Formats to write. One goes straight into the output folder, several into a folder each.'),
    target: targetSchema
      .optional()
      .describe(
        `Where the written files are meant to run: ${targetForm}. Forms that it cannot run are replaced or refused.`,
      ),
    metrics: z
      .array(parts.metric)
      .optional()
      .describe('What is measured before and after. Default: what suits the model and the data, and what gates need.'),
    gates: z
      .array(parts.gate)
      .default([])
      .describe('Bounds on what is measured; the run fails (exit code 3) beyond them.'),
    max_memory: bytesSchema
      .default(defaultMaxMemory)
      .describe(
        'Memory for activations and statistics, like 2GiB; what is beyond it goes to disk. Never changes results.',
      ),
    threads: z
      .int()
      .min(1)
      .max(1024)
      .default(() => availableParallelism())
      .describe('Processor threads; all by default. Never changes results.'),
    model_card: z
      .boolean()
      .default(true)
      .describe('Write a README.md with metadata for the Hugging Face hub beside every artifact.'),
    strict: z.boolean().default(false).describe('Treat a numeric fallback inside a stage as an error.'),
  });
};

const anything = z.unknown();

/** The recipe's own keys, with the entries of tables left as they are (see entries.ts). */
export const outerSchema = recipeSchema({
  dataset: anything,
  stage: anything,
  format: anything,
  metric: anything,
  gate: anything,
});
