import { intAttribute, type Value } from '../../../../ir/graph.ts';
import { asStored } from '../arrangement.ts';
import { type LayerBuilder, type LayerScope, optionsOf, refuse } from '../layer-scope.ts';
import { activated } from './activation.ts';

/** x W + b over the last axis. */
export const denseLayer: LayerBuilder = (scope) => {
  const product = scope.build.call('MatMul', [scope.inputs[0]!, scope.weight('kernel', asStored)]);
  const y = optionsOf(scope).flag('use_bias', true)
    ? scope.build.add(product, scope.weight('bias', asStored))
    : product;
  return activated(scope, y);
};

/** Rows of a table by number. */
export const embeddingLayer: LayerBuilder = (scope) => {
  if (optionsOf(scope).flag('mask_zero', false))
    return refuse(scope, 'masks zeros', 'Masks are not known; use a token of its own for padding.');
  const places = scope.build.call('Cast', [scope.inputs[0]!], { to: intAttribute(7) });
  const table = scope.weight('embeddings', asStored);
  return scope.build.call('Gather', [table, places], { axis: intAttribute(0) });
};

export const flattenLayer: LayerBuilder = (scope) => {
  const format = optionsOf(scope).text('data_format', 'channels_last');
  if (format === 'channels_first' || format === 'channelsFirst') return refuse(scope, 'flattens channels first');
  return scope.build.reshape(scope.inputs[0]!, scope.build.integers([0, -1]));
};

export const reshapeLayer: LayerBuilder = (scope) => {
  const target = scope.layer.config.target_shape;
  if (!Array.isArray(target)) return refuse(scope, 'has no target_shape');
  const lengths = target.map((length) => (typeof length === 'number' ? length : -1));
  return scope.build.reshape(scope.inputs[0]!, scope.build.integers([0, ...lengths]));
};

/** Axes in another order, numbered from 1 (the batch stays). */
export const permuteLayer: LayerBuilder = (scope) => {
  const dims = scope.layer.config.dims;
  if (!Array.isArray(dims)) return refuse(scope, 'has no dims');
  return scope.build.transpose(scope.inputs[0]!, [0, ...dims.map(Number)]);
};

export const repeatVectorLayer: LayerBuilder = (scope) => {
  const { build } = scope;
  const wide = build.call('Unsqueeze', [scope.inputs[0]!, build.integers([1])]);
  return build.call('Tile', [wide, build.integers([1, optionsOf(scope).number('n', 1), 1])]);
};

/** Several inputs, which broadcast against each other. */
export const merging =
  (join: (scope: LayerScope, inputs: readonly Value[]) => Value): LayerBuilder =>
  (scope) =>
    join(scope, scope.inputs);

export const addLayer = merging(({ build }, inputs) =>
  inputs.length === 2 ? build.add(inputs[0]!, inputs[1]!) : build.call('Sum', inputs),
);
export const multiplyLayer = merging(({ build }, inputs) => inputs.reduce((product, x) => build.multiply(product, x)));
export const averageLayer = merging(({ build }, inputs) => build.call('Mean', inputs));
export const maximumLayer = merging(({ build }, inputs) => build.call('Max', inputs));
export const minimumLayer = merging(({ build }, inputs) => build.call('Min', inputs));
export const concatenateLayer = merging((scope, inputs) =>
  scope.build.call('Concat', inputs, { axis: intAttribute(optionsOf(scope).number('axis', -1)) }),
);
