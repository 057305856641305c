import { z } from 'zod';

const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe('BLAKE3, 64 lower-case hexadecimal digits');
const relativePath = z.string().min(1).describe('Path relative to the folder of the manifest, with forward slashes');
const count = z.number().int().nonnegative();

const fileSchema = z.strictObject({ path: relativePath, bytes: count, blake3: hash });

const weightSchema = z.strictObject({
  name: z.string(),
  dtype: z.string().describe('Element type that the weight stands for'),
  shape: z.array(count),
  bits: count.describe('Bits of a code; of an element where the weight is not quantized'),
  groupSize: count.describe('Columns that share a scale; 0 where there is none'),
  method: z.string().describe("How the codes were found: rtn, gptq, …; 'none' where the weight is as it was"),
  form: z.string().describe("Operator that reads the codes; 'plain' for a plain array"),
});

const formatSchema = z.strictObject({
  name: z.string(),
  directory: z.string().describe("Folder of its files; '.' for the folder of the manifest"),
  entry: z.string().optional().describe('The file to open, relative to the folder of the manifest'),
  options: z.unknown(),
  weights: z.array(weightSchema),
});

const metricSchema = z.strictObject({
  model: z.enum(['before', 'after']),
  format: z.string().optional().describe('The format whose files were measured, for after'),
  metric: z.string(),
  dataset: z.string(),
  value: z.number().nullable().describe('null where the value is not finite'),
  interval: z.number().optional().describe('Half width of the 95 % confidence interval'),
  unit: z.string().optional(),
  count,
  better: z.enum(['lower', 'higher']).optional(),
});

const findingSchema = z.strictObject({
  kind: z.enum(['fact', 'warning', 'fallback']),
  text: z.string(),
  site: z.string().optional(),
  facts: z.record(z.string(), z.union([z.number(), z.string(), z.boolean()])).optional(),
});

/** What stands in manifest.json beside every output. */
export const manifestSchema = z
  .strictObject({
    schemaVersion: z.literal(1),
    tool: z.strictObject({ name: z.literal('modelpress'), version: z.string() }),
    family: z.string().optional().describe('Architecture family of the model'),
    recipe: z.string().optional().describe('The recipe as it was run, word for word'),
    inputs: z
      .array(z.strictObject({ name: z.string(), bytes: count, blake3: hash }))
      .describe('Files that the output was made from'),
    files: z.array(fileSchema).describe('Every file of the output but this one, sorted by path'),
    formats: z.array(formatSchema),
    metrics: z.array(metricSchema),
    findings: z.array(findingSchema),
  })
  .meta({ title: 'modelpress manifest', description: 'What an output holds and how it was made' });

export type Manifest = z.output<typeof manifestSchema>;

/** JSON Schema (draft 2020-12) of manifest.json, from the schema that manifests are read with. */
export const manifestJsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(manifestSchema, { target: 'draft-2020-12' }) as Record<string, unknown>;
