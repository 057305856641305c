import { insertNode, outputOf } from '../../../../../ir/edit/replace.ts';
import { intAttribute, textAttribute } from '../../../../../ir/graph.ts';
import { intTensor } from '../../../../../ir/read.ts';
import { constantFor, intsToInput, nodeLabel, type Rule, refuse, shapeOf, takeInt } from './rewrite.ts';
import { replaceNode } from './rules-8-to-12.ts';

/**
 * 13: Softmax, LogSoftmax and Hardmax work along one axis; before, everything from `axis` (1 unless given) on was one
 * long vector. The two agree when at most one of those dimensions is larger than 1; else the vector is made by Flatten
 * and the shape restored.
 */
const alongOneAxis13: Rule = (node, place) => {
  const axis = node.int('axis', 1);
  const shape = shapeOf(node.inputs[0], place);
  const folded = shape?.slice(axis < 0 ? axis + shape.length : axis);
  if (axis === -1 || folded?.slice(1).every((dim) => dim === 1)) {
    node.setAttribute('axis', intAttribute(axis));
    return;
  }
  const { graph } = place;
  const label = nodeLabel(node);
  const input = node.inputs[0] ?? refuse(node, 'it has no input');
  const shapeNode = insertNode({ op: 'Shape', inputs: [input], outputs: [`${label}_shape`] }, { graph, before: node });
  const flatten = insertNode(
    { op: 'Flatten', inputs: [input], outputs: [`${label}_flat`], attributes: { axis: intAttribute(axis) } },
    { graph, before: node },
  );
  const along = insertNode(
    {
      op: node.op,
      inputs: [outputOf(flatten)],
      outputs: [`${label}_rows`],
      attributes: { axis: intAttribute(-1) },
    },
    { graph, before: node },
  );
  const reshape = replaceNode(node, place, { op: 'Reshape', outputs: 1 });
  reshape.setInput(0, outputOf(along));
  reshape.setInput(1, outputOf(shapeNode));
  reshape.attributes.delete('axis');
};

/** 13: this half-pixel variant was dropped. */
const resize13: Rule = (node) => {
  if (node.text('coordinate_transformation_mode') === 'tf_half_pixel_for_nn')
    refuse(node, 'its coordinate mode tf_half_pixel_for_nn no longer exists');
};

/** 14: batch statistics are asked for by an attribute, no longer by naming outputs. */
const batchNormalization14: Rule = (node, place) => {
  const extra = node.outputs.slice(1);
  if (extra.some((value) => value && (value.uses.length > 0 || place.graph.outputs.includes(value))))
    refuse(node, 'its training outputs are read');
  if (extra.length > 0) replaceNode(node, place, { op: node.op, outputs: 1 });
};

/** 16: pixels are counted from their centres unless the old way is asked for. */
const roiAlign16: Rule = (node) => {
  if (!node.attributes.has('coordinate_transformation_mode'))
    node.setAttribute('coordinate_transformation_mode', textAttribute('output_half_pixel'));
};

/** 18: equal parts are asked for by their number. */
const split18: Rule = (node) => {
  if (!node.inputs[1]) node.setAttribute('num_outputs', intAttribute(node.outputs.length));
};

/** 19: the divisor of windows that reach beyond the padding changed. */
const averagePool19: Rule = (node) => {
  if (node.int('ceil_mode', 0) === 1 && node.int('count_include_pad', 0) === 1)
    refuse(node, 'it rounds its size up and counts padding, which newer operator sets do differently');
};

/** 20: the axis is an input. */
const dft20: Rule = (node, place) => {
  const axis = takeInt(node, 'axis') ?? 1;
  node.setInput(2, constantFor(node, place, 'axis', intTensor([], [axis])));
};

/** 20: modes are called as in Resize. */
const gridSample20: Rule = (node) => {
  const names = new Map([
    ['bilinear', 'linear'],
    ['bicubic', 'cubic'],
  ]);
  const renamed = names.get(node.text('mode') ?? 'bilinear');
  if (renamed) node.setAttribute('mode', textAttribute(renamed));
};

/** 21: scale and bias are per channel, no longer per group. */
const groupNormalization21: Rule = (node) => refuse(node, 'its scale and bias are per group');

/** 24: masks and caches follow other rules. */
const attention24: Rule = (node) => refuse(node, 'its masking rules changed');

const softmaxLike = new Map([[13, alongOneAxis13]]);
const axesToInput = (version: number): ReadonlyMap<number, Rule> => new Map([[version, intsToInput('axes', 1)]]);

const reductions = [
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSumSquare',
];

/** What changed between operator sets 13 and 25, by operator and by the version that changed it. */
export const rulesFrom13: ReadonlyMap<string, ReadonlyMap<number, Rule>> = new Map<string, ReadonlyMap<number, Rule>>([
  ['Softmax', softmaxLike],
  ['LogSoftmax', softmaxLike],
  ['Hardmax', softmaxLike],
  ['Squeeze', axesToInput(13)],
  ['Unsqueeze', axesToInput(13)],
  ['ReduceSum', axesToInput(13)],
  [
    'Split',
    new Map([
      [13, intsToInput('split', 1)],
      [18, split18],
    ]),
  ],
  ['Resize', new Map([[13, resize13]])],
  ['BatchNormalization', new Map([[14, batchNormalization14]])],
  ['RoiAlign', new Map([[16, roiAlign16]])],
  ...reductions.map((op): [string, ReadonlyMap<number, Rule>] => [op, axesToInput(18)]),
  ['AveragePool', new Map([[19, averagePool19]])],
  ['DFT', new Map([[20, dft20]])],
  ['GridSample', new Map([[20, gridSample20]])],
  ['GroupNormalization', new Map([[21, groupNormalization21]])],
  ['Attention', new Map([[24, attention24]])],
]);
