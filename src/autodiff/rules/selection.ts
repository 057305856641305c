import { intAttribute, type Node, textAttribute, Value } from '../../ir/graph.ts';
import { tensorType } from '../../ir/shape.ts';
import { shapeOf } from '../broadcast.ts';
import type { Rule } from '../rule.ts';
import { scatterAlong } from './indexing.ts';
import { zerosLike } from './movement.ts';

const addUp = { reduction: textAttribute('add') };

/** An output that says where elements came from; the operator gives it when it is asked for. */
export const placesOf = (node: Node): Value => {
  const known = node.outputs[1];
  if (known) return known;
  const places = new Value(`${node.outputs[0]!.name}.places`, tensorType('int64', shapeOf(node.outputs[0]!)));
  node.setOutput(1, places);
  return places;
};

/** TopK: the operator's own indices say where every value stood. */
export const topKRule: Rule = ({ node, build, gradients, input }) => {
  const [gradient] = gradients;
  if (!gradient) return [];
  const axis = { axis: intAttribute(node.int('axis', -1)), ...addUp };
  return [build.call('ScatterElements', [zerosLike(build, input(0)), placesOf(node), gradient], axis)];
};

/** Compress: gradients go back to the rows (or, without an axis, to the elements) that were kept. */
export const compressRule: Rule = ({ node, build, gradient, input }) => {
  const x = input(0);
  const kept = build.typed(
    build.reshape(build.call('NonZero', [input(1)]), build.integers([-1])),
    tensorType('int64', [null]),
  );
  const axis = node.int('axis');
  if (axis !== undefined) return [scatterAlong(build, x, axis, kept, gradient, node.name)];
  const flat = build.reshape(zerosLike(build, x), build.integers([-1]));
  return [build.reshapeLike(build.call('ScatterElements', [flat, kept, gradient], addUp), x)];
};

/** ReverseSequence undoes itself. */
export const reverseSequenceRule: Rule = ({ node, build, gradient, input }) => [
  build.call('ReverseSequence', [gradient, input(1)], {
    batch_axis: intAttribute(node.int('batch_axis', 1)),
    time_axis: intAttribute(node.int('time_axis', 0)),
  }),
];

/** MaxUnpool: every element comes from the place that it was put to. */
export const maxUnpoolRule: Rule = ({ build, gradient, input }) => {
  const flat = (value: Value): Value => build.reshape(value, build.integers([-1]));
  return [build.reshapeLike(build.call('Gather', [flat(gradient), flat(input(1))]), input(0))];
};

/** CenterCropPad: what was cut off is padded with zeros, and the other way round. */
export const centerCropPadRule: Rule = ({ node, build, gradient, input }) => {
  const axes = node.ints('axes');
  const shape = build.call('Shape', [input(0)]);
  const wanted = axes ? build.call('Gather', [shape, build.integers(axes)], { axis: intAttribute(0) }) : shape;
  const attributes = axes ? { axes: node.attributes.get('axes')! } : {};
  return [build.typed(build.call('CenterCropPad', [gradient, wanted], attributes), input(0).type)];
};
