import { floatAttribute, intAttribute, type Value } from '../../../../ir/graph.ts';
import { asStored } from '../arrangement.ts';
import { fixedDim, type LayerBuilder, type LayerScope, optionsOf, refuse } from '../layer-scope.ts';

/** Axes of a configuration: a number or a list with one. */
const axisOf = (scope: LayerScope): number => {
  const [axis, ...others] = optionsOf(scope).numbers('axis', 1, -1);
  if (axis === undefined || others.length > 0) return refuse(scope, 'normalises over several axes');
  return axis < 0 ? axis + scope.shape.length : axis;
};

/** A weight, or the numbers that stand for it where the layer is made without it. */
const parameter = (scope: LayerScope, name: string, flag: string, length: number, neutral: number): Value =>
  optionsOf(scope).flag(flag, true)
    ? scope.weight(name, asStored)
    : scope.build.floats([length], new Float64Array(length).fill(neutral), 'float32');

/** With the statistics of training. */
export const batchNormalizationLayer: LayerBuilder = (scope) => {
  const { build } = scope;
  const axis = axisOf(scope);
  const rank = scope.shape.length;
  const length = fixedDim(scope, axis);
  const forth = [0, axis, ...Array.from({ length: rank }, (_, at) => at).filter((at) => at !== 0 && at !== axis)];
  const back = forth.map((_, at) => forth.indexOf(at));
  const moved = rank > 2 && axis !== 1;
  const x = scope.inputs[0]!;
  const y = build.call(
    'BatchNormalization',
    [
      moved ? build.transpose(x, forth) : x,
      parameter(scope, 'gamma', 'scale', length, 1),
      parameter(scope, 'beta', 'center', length, 0),
      scope.weight('moving_mean', asStored),
      scope.weight('moving_variance', asStored),
    ],
    { epsilon: floatAttribute(optionsOf(scope).number('epsilon', 1e-3)) },
  );
  return moved ? build.transpose(y, back) : y;
};

export const layerNormalizationLayer: LayerBuilder = (scope) => {
  const axis = axisOf(scope);
  if (axis !== scope.shape.length - 1) return refuse(scope, 'normalises over another axis than the last');
  const length = fixedDim(scope, axis);
  return scope.build.call(
    'LayerNormalization',
    [scope.inputs[0]!, parameter(scope, 'gamma', 'scale', length, 1), parameter(scope, 'beta', 'center', length, 0)],
    { axis: intAttribute(-1), epsilon: floatAttribute(optionsOf(scope).number('epsilon', 1e-3)) },
  );
};
