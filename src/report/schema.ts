import { z } from 'zod';

const count = z.number().int().nonnegative();
/** JSON has no NaN: values that are not finite are written as null. */
const measured = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN)
  .describe('null where the value is not finite');
const fact = z.union([z.number().nullable(), z.string(), z.boolean()]);
const facts = z.record(z.string(), fact);

const metricSchema = z.strictObject({
  metric: z.string(),
  dataset: z.string().describe('What it was measured on, as the recipe names it; empty for size'),
  value: measured,
  interval: measured.exactOptional().describe('Half width of the 95 % confidence interval'),
  unit: z.string().exactOptional().describe("'bytes', 'ms', 'dB', 'nats'; 'fraction' for shares from 0 to 1"),
  count: count.describe('Items averaged over'),
  better: z.enum(['lower', 'higher']).exactOptional(),
});

const afterSchema = z.strictObject({ format: z.string(), result: metricSchema });

const findingSchema = z.strictObject({
  kind: z.enum(['fact', 'warning', 'fallback']),
  text: z.string(),
  site: z.string().exactOptional(),
  facts: facts.exactOptional(),
});

const whereSchema = z
  .strictObject({
    file: z.string(),
    line: count,
    column: count,
    byteOffset: count,
    tensor: z.string(),
    node: z.string(),
    site: z.string(),
    key: z.string(),
    flag: z.string(),
  })
  .partial()
  .describe('Where the recipe states it');

const gateSchema = z.strictObject({
  gate: z.string().describe('As `perplexity increase 2%`'),
  metric: z.string(),
  dataset: z.string(),
  format: z.string(),
  passed: z.boolean(),
  found: measured,
  limit: measured,
  unit: z.string().exactOptional(),
  where: whereSchema,
});

const partSchema = z.strictObject({
  part: z.string().describe("'embedding', 'attention', 'mlp', 'head', 'convolution', …"),
  tensors: count,
  elements: count,
  bytes: count,
});

const contentSchema = z
  .strictObject({
    parameters: count.describe('Learned numbers, those that quantized weights stand for included'),
    parts: z.array(partSchema),
  })
  .describe('What a model is made of');

const weightSchema = z.strictObject({
  name: z.string(),
  shape: z.array(count),
  bits: count.describe('Bits of a code; of an element where the weight is not quantized'),
  groupSize: count.describe('Columns that share a scale; 0 where there is none'),
  method: z.string(),
  form: z.string().describe('Operator that reads the codes'),
});

const siteSchema = z.strictObject({ site: z.string(), facts });

const trainingSchema = z.strictObject({
  steps: z
    .array(
      z.strictObject({
        step: count,
        loss: measured,
        parts: z.record(z.string(), measured),
        learningRate: z.number(),
        gradientNorm: measured,
        seen: count,
      }),
    )
    .describe('Some hundred steps at most, evenly spaced, and the last'),
  judged: z.array(z.strictObject({ step: count, value: measured })).describe('Held-out losses'),
});

const stageSchema = z.strictObject({
  stage: z.string(),
  findings: z.array(findingSchema),
  sites: z.array(siteSchema).describe('What the stage told of each weight product, in the order of the work'),
  training: trainingSchema.exactOptional(),
});

const artifactSchema = z.strictObject({
  format: z.string(),
  directory: z.string().describe('Folder of its files, relative to the output folder'),
  bytes: count,
  findings: z.array(findingSchema),
  content: contentSchema.exactOptional().describe('Absent where the format cannot be opened as a graph'),
  weights: z.array(weightSchema),
});

const dataSchema = z.strictObject({
  use: z.enum(['calibration', 'training', 'evaluation']),
  name: z.string(),
  description: z.string(),
  samples: count,
});

const courseSchema = z
  .strictObject({
    durationMs: z.number(),
    pausedMs: z.number(),
    peakMemoryBytes: count,
    maxMemoryBytes: count.describe('What the recipe allows for activations and statistics'),
    steps: z.array(
      z.strictObject({
        name: z.string(),
        kind: z.enum(['before', 'stage', 'write', 'after']),
        state: z.enum(['done', 'cached', 'failed']),
        startMs: z.number(),
        endMs: z.number(),
      }),
    ),
    memory: z.array(z.strictObject({ atMs: z.number(), bytes: count })),
  })
  .describe(
    'How the run went: never the same twice, so it is not in report.json; `compress report --format json` adds it',
  );

/** What stands in report.json beside an artifact, and what `compress report --format json` prints. */
export const reportSchema = z
  .strictObject({
    schemaVersion: z.literal(1),
    outcome: z.enum(['done', 'gate-failed']),
    version: z.string().describe('Version of modelpress'),
    recipe: z.string().exactOptional().describe("The recipe's file as it was named; absent when flags made it"),
    recipeText: z.string().describe('The recipe as it was run, word for word'),
    seed: count,
    model: z.strictObject({
      name: z.string().describe('Name of its file or folder'),
      family: z.string().exactOptional(),
      content: contentSchema,
    }),
    data: z.array(dataSchema),
    warnings: z.array(z.string()),
    stages: z.array(stageSchema),
    artifacts: z.array(artifactSchema),
    metrics: z.strictObject({ before: z.array(metricSchema), after: z.array(afterSchema) }),
    gates: z.array(gateSchema),
    course: courseSchema.exactOptional(),
  })
  .meta({ title: 'modelpress report', description: 'What a run did, and what came of it' });

/** A type whose lists and maps cannot be changed. */
type Frozen<Type> = Type extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : Type extends object
    ? { readonly [Key in keyof Type]: Frozen<Type[Key]> }
    : Type;

/** What a run did and found. Without `course` it holds no times: equal inputs give equal reports. */
export type RunReport = Frozen<z.output<typeof reportSchema>>;
export type ReportStage = RunReport['stages'][number];
export type ReportArtifact = RunReport['artifacts'][number];
export type ReportContent = RunReport['model']['content'];
export type ReportData = RunReport['data'][number];
export type ReportTraining = NonNullable<ReportStage['training']>;
export type RunCourse = NonNullable<RunReport['course']>;

/** JSON Schema (draft 2020-12) of report.json. */
export const reportJsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(reportSchema, { target: 'draft-2020-12', io: 'input' }) as Record<string, unknown>;
