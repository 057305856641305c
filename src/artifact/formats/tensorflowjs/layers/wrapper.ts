import { z } from 'zod';
import { intAttribute, type Value } from '../../../../ir/graph.ts';
import { type LayerBuilder, type LayerScope, refuse } from '../layer-scope.ts';
import { recurrent } from './recurrent.ts';
import { denseLayer } from './shape.ts';

const innerSchema = z.object({ class_name: z.string(), config: z.looseObject({ name: z.string() }) });

const innerOf = (scope: LayerScope) => {
  const parsed = innerSchema.safeParse(scope.layer.config.layer);
  return parsed.success ? parsed.data : refuse(scope, 'holds no layer');
};

const recurrentKinds: Readonly<Record<string, LayerBuilder>> = {
  GRU: recurrent('GRU'),
  LSTM: recurrent('LSTM'),
  SimpleRNN: recurrent('RNN'),
};

/** A recurrent layer in both directions; the weights of its two copies are named forward_… and backward_…. */
export const bidirectionalLayer: LayerBuilder = (scope) => {
  const { build } = scope;
  const inner = innerOf(scope);
  const make = recurrentKinds[inner.class_name] ?? refuse(scope, `holds a ${inner.class_name}`);
  const [forward, backward] = (['forward', 'backward'] as const).map((direction) =>
    make(
      scope.within({
        name: `${direction}_${inner.config.name}`,
        kind: inner.class_name,
        config: { ...inner.config, go_backwards: direction === 'backward' },
        inputs: scope.layer.inputs,
      }),
    ),
  ) as [Value, Value];
  const inOrder = inner.config.return_sequences === true ? reversed(scope, backward) : backward;
  switch (scope.layer.config.merge_mode) {
    case 'concat':
    case undefined:
      return build.call('Concat', [forward, inOrder], { axis: intAttribute(-1) });
    case 'sum':
      return build.add(forward, inOrder);
    case 'mul':
      return build.multiply(forward, inOrder);
    case 'ave':
      return build.scale(build.add(forward, inOrder), 0.5);
    default:
      return refuse(scope, 'gives its two directions apart');
  }
};

/** The steps of (batch, steps, channels) from the last to the first. */
const reversed = ({ build }: LayerScope, x: Value): Value => {
  const bounds = [-1, Number.MIN_SAFE_INTEGER, 1, -1].map((number) => build.integers([number]));
  return build.call('Slice', [x, ...bounds]);
};

/** A Dense layer at every step, which is what it does anyway. */
export const timeDistributedLayer: LayerBuilder = (scope) => {
  const inner = innerOf(scope);
  if (inner.class_name !== 'Dense') return refuse(scope, `holds a ${inner.class_name}`, 'Only Dense is known there.');
  const { name, ...config } = inner.config;
  // TensorFlow.js names the weights after the wrapper, Keras after the layer within.
  const owner = scope.weightShape('kernel') ? scope.layer.name : name;
  return denseLayer(scope.within({ name: owner, kind: inner.class_name, config, inputs: scope.layer.inputs }));
};
