import { intAttribute } from '../../../../ir/graph.ts';
import { type LayerBuilder, optionsOf } from '../layer-scope.ts';
import { channelsFirst, channelsLast, positionAxes, windowAttributes } from './convolution.ts';

/** Windows of positions; padding does not count for averages. */
export const pooling =
  (op: 'MaxPool' | 'AveragePool'): LayerBuilder =>
  (scope) => {
    const axes = scope.shape.length - 2;
    const options = optionsOf(scope);
    const kernel = options.numbers('pool_size', axes, 2);
    const strides = options.raw('strides') === null ? kernel : options.numbers('strides', axes, kernel[0]!);
    const given = options.raw('strides') === undefined ? kernel : strides;
    const attributes = windowAttributes(
      scope,
      kernel,
      given,
      kernel.map(() => 1),
    );
    return channelsLast(scope, scope.build.call(op, [channelsFirst(scope, scope.inputs[0]!)], attributes));
  };

/** All positions at once. */
export const globalPooling =
  (op: 'ReduceMax' | 'ReduceMean'): LayerBuilder =>
  (scope) =>
    scope.build.call(op, [scope.inputs[0]!, scope.build.integers(positionAxes(scope))], {
      keepdims: intAttribute(optionsOf(scope).flag('keepdims', false) ? 1 : 0),
    });
