import { CompressError } from '../../../errors.ts';
import { OperatorBuilder } from '../../../ir/build.ts';
import { nameSource } from '../../../ir/edit/names.ts';
import { Graph, Node, newProgram, type Program, Value } from '../../../ir/graph.ts';
import { inferShapes } from '../../../ir/inference/index.ts';
import { floatTensor } from '../../../ir/read.ts';
import { type Shape, tensorType } from '../../../ir/shape.ts';
import { DerivedTensor } from '../../../ir/tensor.ts';
import { type Arrangement, toGraph } from './arrangement.ts';
import { type LayerScope, refuse } from './layer-scope.ts';
import { layerBuilders } from './layers/table.ts';
import type { Layer, Topology } from './topology.ts';
import type { StoredWeight } from './weights.ts';

/** A weight of the layers and the constant of the graph that it became. */
export interface PlacedWeight {
  readonly weight: StoredWeight;
  readonly arrangement: Arrangement;
}

export interface LayerGraph {
  readonly program: Program;
  /** By the name that weight and constant share. */
  readonly placed: ReadonlyMap<string, PlacedWeight>;
}

/** The operator set that graphs of layers are written in. */
const layerOpset = 21;

/** Names of weights end with the weight's own and hold the layer's: 'dense/kernel', 'lstm/lstm_cell/kernel:0'. */
const weightOf = (weights: readonly StoredWeight[], layer: Layer, name: string): StoredWeight | undefined => {
  const found = weights.filter((weight) => {
    const tokens = weight.name.replace(/:\d+$/, '').split('/');
    return tokens.at(-1) === name && tokens.slice(0, -1).includes(layer.name);
  });
  if (found.length < 2) return found[0];
  return refuse({ layer }, `has several weights named ${name}: ${found.map((weight) => weight.name).join(', ')}`);
};

const inputTypes = { float32: 'float32', int32: 'int32', bool: 'bool' } as const;

const inputOf = (layer: Layer): Value => {
  const shape = layer.config.batch_input_shape ?? layer.config.batch_shape;
  const dtype = layer.config.dtype ?? 'float32';
  if (!Array.isArray(shape)) return refuse({ layer }, 'states no shape');
  const known = inputTypes[dtype as keyof typeof inputTypes] ?? refuse({ layer }, `takes ${String(dtype)}`);
  const dims = shape.map((length, axis) => {
    if (typeof length === 'number') return length;
    return axis === 0 ? 'batch' : `${layer.name}_${axis}`;
  });
  return new Value(layer.name, tensorType(known, dims));
};

/**
 * The graph of a network of layers. Constants have the names of the weights; nodes are named after their layers.
 * @throws 'unsupported' for layers that have no builder or options that it does not know; all unknown layers together.
 */
export const buildLayers = (topology: Topology, weights: readonly StoredWeight[], file: string): LayerGraph => {
  checkKinds(topology, file);
  const graph = new Graph(topology.name);
  const program = newProgram(graph, layerOpset);
  const outputs = new Map<string, Value>();
  const placed = new Map<string, PlacedWeight>();
  const shapeOf = (value: Value): Shape => {
    const known = value.type?.kind === 'tensor' ? value.type.shape : undefined;
    if (known) return known;
    inferShapes(program);
    const inferred = value.type?.kind === 'tensor' ? value.type.shape : undefined;
    if (inferred) return inferred;
    throw new CompressError({
      code: 'unsupported',
      message: `the rank of ${value.name} is not known`,
      where: { file, tensor: value.name },
    });
  };
  for (const layer of topology.layers) {
    if (layer.kind === 'InputLayer') {
      const input = inputOf(layer);
      graph.inputs.push(input);
      outputs.set(layer.name, input);
      continue;
    }
    const inputs = layer.inputs.map((name) => outputs.get(name)!);
    if (inputs.length === 0) refuse({ layer }, 'reads nothing');
    const build = new OperatorBuilder(graph, layer.name);
    const scopeOf = (inner: Layer): LayerScope => ({
      layer: inner,
      inputs,
      build,
      shape: shapeOf(inputs[0]!),
      weightShape: (name) => weightOf(weights, inner, name)?.shape,
      weight: (name, arrange) => {
        const weight = weightOf(weights, inner, name) ?? refuse({ layer: inner }, `has no weight ${name} in the files`);
        const arrangement = arrange(weight.shape);
        placed.set(weight.name, { weight, arrangement });
        return graph.addInitializer(weight.name, constantOf({ weight, arrangement }));
      },
      within: scopeOf,
    });
    outputs.set(layer.name, layerBuilders[layer.kind]!(scopeOf(layer)));
  }
  const names = nameSource(graph);
  for (const name of topology.outputs) graph.outputs.push(namedOutput(graph, outputs.get(name), name, names, file));
  inferShapes(program);
  return { program, placed };
};

const constantOf = ({ weight, arrangement }: PlacedWeight): DerivedTensor =>
  new DerivedTensor('float32', arrangement.shape, () =>
    floatTensor(arrangement.shape, toGraph(arrangement, weight.read())).bytes(),
  );

const checkKinds = (topology: Topology, file: string): void => {
  const unknown = topology.layers.filter(({ kind }) => kind !== 'InputLayer' && !layerBuilders[kind]);
  if (unknown.length === 0) return;
  const kinds = [...new Set(unknown.map(({ kind }) => kind))];
  throw new CompressError({
    code: 'unsupported',
    message: `layers of these kinds are not known: ${kinds.join(', ')} (the first is ${unknown[0]!.name})`,
    where: { file, node: unknown[0]!.name },
    hint: `Known are: ${Object.keys(layerBuilders).join(', ')}.`,
  });
};

/** The output of a layer under the layer's name. */
const namedOutput = (
  graph: Graph,
  value: Value | undefined,
  name: string,
  names: ReturnType<typeof nameSource>,
  file: string,
): Value => {
  if (!value)
    throw new CompressError({ code: 'malformed', message: `the output ${name} is no layer`, where: { file } });
  if (value.producer && !graph.outputs.includes(value)) {
    value.name = names.fresh(name);
    return value;
  }
  const output = new Value(names.fresh(name), value.type);
  graph.insert(new Node({ op: 'Identity', name: names.fresh(`${name}/Identity`), inputs: [value], outputs: [output] }));
  return output;
};
