import { z } from 'zod';
import { CompressError } from '../../../errors.ts';

/** One layer, called once. */
export interface Layer {
  readonly name: string;
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Layers whose outputs it reads, in order. */
  readonly inputs: readonly string[];
}

/** A network of layers in an order in which each stands behind what it reads. */
export interface Topology {
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const layerSchema = z.object({
  class_name: z.string(),
  name: z.string().optional(),
  config: z.record(z.string(), z.unknown()),
  inbound_nodes: z.array(z.unknown()).optional(),
});
type RawLayer = z.infer<typeof layerSchema>;

const networkSchema = z.object({
  class_name: z.enum(['Sequential', 'Model', 'Functional']),
  config: z.union([z.array(layerSchema), z.record(z.string(), z.unknown())]),
});

/** A network inside model.json: bare, or under `model_config` as converters write it. */
const networkOf = (topology: Readonly<Record<string, unknown>>): unknown => topology.model_config ?? topology;

const malformed = (file: string, key: string, message: string): CompressError =>
  new CompressError({ code: 'malformed', message, where: { file, key } });

const nameOf = (layer: RawLayer, file: string): string => {
  const name = layer.name ?? layer.config.name;
  if (typeof name === 'string' && name !== '') return name;
  throw malformed(file, 'modelTopology', `a ${layer.class_name} layer has no name`);
};

const parseWith = <Result>(schema: z.ZodType<Result>, value: unknown, file: string, key: string): Result => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = [key, ...(issue?.path ?? [])].join('.');
  throw malformed(file, path, issue?.message ?? 'not as expected');
};

const isNested = (layer: RawLayer): boolean => ['Sequential', 'Model', 'Functional'].includes(layer.class_name);

const refuseNested = (layer: RawLayer, file: string): void => {
  if (!isNested(layer)) return;
  throw new CompressError({
    code: 'unsupported',
    message: `the layer ${nameOf(layer, file)} is a model itself`,
    where: { file },
    hint: 'Build the model of plain layers: call the inner model’s layers one by one.',
  });
};

/** A chain: each layer reads the one before it. An input is put in front where only the first layer states its shape. */
const chain = (raw: readonly RawLayer[], name: string, file: string): Topology => {
  const layers: Layer[] = [];
  for (const layer of raw) {
    refuseNested(layer, file);
    const before = layers.at(-1);
    if (!before && layer.class_name !== 'InputLayer') {
      const { batch_input_shape: shape, batch_shape: newer, dtype } = layer.config;
      if (!Array.isArray(shape ?? newer))
        throw malformed(file, 'modelTopology', `the first layer, ${nameOf(layer, file)}, states no input shape`);
      layers.push({
        name: `${nameOf(layer, file)}_input`,
        kind: 'InputLayer',
        config: { batch_input_shape: shape ?? newer, dtype },
        inputs: [],
      });
    }
    const input = layers.at(-1);
    layers.push({
      name: nameOf(layer, file),
      kind: layer.class_name,
      config: layer.config,
      inputs: input ? [input.name] : [],
    });
  }
  const [first, last] = [layers[0], layers.at(-1)];
  if (!first || !last) throw malformed(file, 'modelTopology', 'the model has no layers');
  return { name, layers, inputs: [first.name], outputs: [last.name] };
};

/** [layer, call, output] as inputs are named. */
const referenceSchema = z.tuple([z.string(), z.number(), z.number()]).rest(z.unknown());
type Reference = z.infer<typeof referenceSchema>;

const readReference = (value: unknown, file: string): string => {
  const [layer, call, output]: Reference = parseWith(referenceSchema, value, file, 'modelTopology.inbound_nodes');
  if (call === 0 && output === 0) return layer;
  throw new CompressError({
    code: 'unsupported',
    message: `the model reads ${call === 0 ? 'a further output' : 'a second call'} of the layer ${layer}`,
    where: { file },
    hint: 'Only layers with one output that are called once are known.',
  });
};

/** References as they are written: a list of them, or one alone. */
const readReferences = (value: unknown, file: string): string[] => {
  if (!Array.isArray(value)) throw malformed(file, 'modelTopology', 'the inputs or outputs of the model are no list');
  if (typeof value[0] === 'string') return [readReference(value, file)];
  return value.map((entry) => readReference(entry, file));
};

const graphOf = (config: Readonly<Record<string, unknown>>, file: string): Topology => {
  const raw = parseWith(z.array(layerSchema), config.layers, file, 'modelTopology.config.layers');
  const unordered = raw.map((layer): Layer => {
    refuseNested(layer, file);
    const calls = layer.inbound_nodes ?? [];
    if (calls.length > 1)
      throw new CompressError({
        code: 'unsupported',
        message: `the layer ${nameOf(layer, file)} is called ${calls.length} times`,
        where: { file },
        hint: 'Layers that share weights by being called again cannot be written back.',
      });
    const inputs = calls.length === 0 ? [] : readReferences(calls[0], file);
    return { name: nameOf(layer, file), kind: layer.class_name, config: layer.config, inputs };
  });
  return {
    name: typeof config.name === 'string' ? config.name : 'model',
    layers: inOrder(unordered, file),
    inputs: readReferences(config.input_layers, file),
    outputs: readReferences(config.output_layers, file),
  };
};

const inOrder = (layers: readonly Layer[], file: string): Layer[] => {
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const ordered = new Set<Layer>();
  const visit = (layer: Layer, behind: ReadonlySet<Layer>): void => {
    if (ordered.has(layer)) return;
    if (behind.has(layer)) throw malformed(file, 'modelTopology', `the layer ${layer.name} reads its own output`);
    for (const name of layer.inputs) {
      const input = byName.get(name);
      if (!input) throw malformed(file, 'modelTopology', `${layer.name} reads ${name}, which is no layer`);
      visit(input, new Set([...behind, layer]));
    }
    ordered.add(layer);
  };
  for (const layer of layers) visit(layer, new Set());
  return [...ordered];
};

/**
 * Reads the `modelTopology` of a model.json in the layers format (Sequential or Functional).
 * @throws 'malformed', and 'unsupported' for nested models and layers that are called several times.
 */
export const readTopology = (topology: Readonly<Record<string, unknown>>, file: string): Topology => {
  const { config } = parseWith(networkSchema, networkOf(topology), file, 'modelTopology');
  if (Array.isArray(config)) return chain(config, 'sequential', file);
  if (config.input_layers !== undefined) return graphOf(config, file);
  const layers = parseWith(z.array(layerSchema), config.layers, file, 'modelTopology.config.layers');
  return chain(layers, typeof config.name === 'string' ? config.name : 'sequential', file);
};
