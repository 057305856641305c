import { z } from 'zod';
import { formats } from '../artifact/formats/index.ts';
import { datasetKinds } from '../calibration/samples/table.ts';
import { metrics } from '../metrics/table.ts';
import { stages } from '../stages/registry.ts';
import { boundsSchema } from './gates.ts';
import { recipeSchema } from './schema.ts';

type JsonSchema = Record<string, unknown>;

/** What a recipe may write, as JSON Schema (aliases included, defaults optional). */
const asJsonSchema = (schema: z.ZodType): JsonSchema => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' });
  return rest;
};

const place = (id: string): z.ZodType => z.unknown().meta({ id });

/** A map with this one key. */
const oneKey = (name: string, description: string, options: JsonSchema): JsonSchema => ({
  type: 'object',
  properties: { [name]: options },
  required: [name],
  additionalProperties: false,
  description,
});

interface Card {
  readonly name: string;
  readonly summary: string;
}

/** The name alone, or a map from the name to its options. */
const entrySchema = <Entry extends Card>(
  cards: readonly Entry[],
  optionsOf: (card: Entry) => z.ZodType,
): JsonSchema => ({
  anyOf: [
    { enum: cards.map((card) => card.name) },
    ...cards.map((card) => oneKey(card.name, card.summary, asJsonSchema(optionsOf(card)))),
  ],
});

const datasetSchema = (): JsonSchema => ({
  anyOf: [
    { type: 'string', description: 'kind:path,key=value,…' },
    ...datasetKinds.map((kind) => {
      const spec = asJsonSchema(kind.spec);
      const properties = spec.properties as JsonSchema;
      const name = {
        type: 'string',
        minLength: 1,
        description: 'What reports call it; by default the name of its file.',
      };
      return { ...spec, description: kind.summary, properties: { name, ...properties } };
    }),
  ],
});

/** JSON Schema (draft 2020-12) of recipes, made from the same zod schemas that recipes are read with. */
export const recipeJsonSchema = (): JsonSchema => {
  const parts = ['dataset', 'stage', 'format', 'metric', 'gate'] as const;
  const outer = z.toJSONSchema(
    recipeSchema({
      dataset: place('dataset'),
      stage: place('stage'),
      format: place('format'),
      metric: place('metric'),
      gate: place('gate'),
    }),
    { io: 'input', target: 'draft-2020-12' },
  ) as JsonSchema;
  const definitions: Record<(typeof parts)[number] | 'bounds', JsonSchema> = {
    bounds: asJsonSchema(boundsSchema),
    dataset: datasetSchema(),
    stage: entrySchema(stages, (stage) => stage.options),
    format: entrySchema(formats, (format) => format.options),
    metric: { enum: metrics.map((metric) => metric.name) },
    gate: {
      anyOf: metrics.map((metric) => oneKey(metric.name, `Bounds on ${metric.summary}`, { $ref: '#/$defs/bounds' })),
    },
  };
  return {
    ...outer,
    title: 'modelpress recipe',
    description: 'What `compress run` does to a model. Relative paths start at the folder of the recipe.',
    $defs: definitions,
  };
};
