import { z } from 'zod';
import { type DataType, dataTypes } from '../../ir/data-type.ts';
import type { ValueType } from '../../ir/shape.ts';

export const fileNames = {
  program: 'program.onnx',
  tensors: 'tensors.bin',
  facts: 'snapshot.json',
  companions: 'companions',
} as const;

const count = z.number().int().nonnegative();
const dtype = z.enum(Object.keys(dataTypes) as [DataType, ...DataType[]]);
const shape = z.array(count);

/** A stretch of the tensor file. */
const range = z.strictObject({ offset: count, bytes: count });

const plainTensor = z.strictObject({ kind: z.literal('plain'), dtype, shape, range });

/** The matrix that a quantized tensor stands for. */
const matrixFacts = {
  dtype: z.enum(['float32', 'float16', 'bfloat16']),
  shape,
  layout: z.enum(['rows-first', 'rows-second', 'rows-last']),
  rows: count,
  columns: count,
};

const packedTensor = z.strictObject({
  kind: z.literal('packed'),
  facts: z.strictObject({
    ...matrixFacts,
    bits: count,
    storedBits: z.union([z.literal(2), z.literal(4), z.literal(8)]),
    groupSize: count,
    method: z.string(),
  }),
  codes: range,
  scales: range,
  zeroPoints: range.nullable(),
});

const codebookTensor = z.strictObject({
  kind: z.literal('codebook'),
  facts: z.strictObject({
    ...matrixFacts,
    entries: count,
    name: z.literal('nf4').optional(),
    blockSize: count,
  }),
  codes: range,
  table: range,
  scales: range,
});

/** Where a tensor stands: an initializer, or an attribute of a node. Graphs are counted as `allGraphs` gives them. */
const place = z.union([
  z.strictObject({ tensor: count, graph: count, value: z.string() }),
  z.strictObject({ tensor: count, graph: count, node: count, attribute: z.string() }),
]);

/** What is known of a value: files say it of inputs, outputs and some others only. */
const value = z.strictObject({
  graph: count,
  name: z.string(),
  type: z.custom<ValueType>((found) => typeof found === 'object' && found !== null && 'kind' in found).optional(),
  docString: z.string().optional(),
  metadata: z.array(z.tuple([z.string(), z.string()])).optional(),
});

/** Float attributes in double precision, which files round to single precision. */
const floatAttribute = z.strictObject({
  graph: count,
  node: count,
  attribute: z.string(),
  value: z.union([z.number(), z.array(z.number())]),
});

export const snapshotSchema = z.strictObject({
  snapshotVersion: z.literal(1),
  family: z.string().optional(),
  config: z.record(z.string(), z.unknown()).optional(),
  origin: z.string(),
  companions: z.array(z.string()),
  tensors: z.array(z.discriminatedUnion('kind', [plainTensor, packedTensor, codebookTensor])),
  places: z.array(place),
  values: z.array(value),
  floatAttributes: z.array(floatAttribute),
});

export type SnapshotFacts = z.output<typeof snapshotSchema>;
