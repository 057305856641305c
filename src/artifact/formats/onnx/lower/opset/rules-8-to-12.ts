import { Node, textAttribute } from '../../../../../ir/graph.ts';
import { floatTensor, intTensor, readNumbers, tensorOf } from '../../../../../ir/read.ts';
import { constantOf } from '../../../../../ir/walk.ts';
import {
  constantFor,
  elementTypeOf,
  intsToInput,
  type Place,
  type Rule,
  refuse,
  takeFloat,
  takeFloats,
  takeInt,
} from './rewrite.ts';

/** Puts another operator in a node's place: same inputs, attributes and first `outputs` outputs. */
export const replaceNode = (node: Node, place: Place, fields: { op: string; outputs: number }): Node => {
  const inputs = [...node.inputs];
  const outputs = node.outputs.slice(0, fields.outputs);
  const made = new Node({ op: fields.op, name: node.name, inputs, outputs: [], attributes: new Map(node.attributes) });
  for (const [key, text] of node.metadata) made.metadata.set(key, text);
  place.graph.insert(made, node);
  place.graph.remove(node);
  outputs.forEach((value, index) => {
    made.setOutput(index, value);
  });
  return made;
};

const isRead = (node: Node, index: number, place: Place): boolean => {
  const value = node.outputs[index];
  return value !== undefined && (value.uses.length > 0 || place.graph.outputs.includes(value));
};

/** 9: every channel has its own statistics; `spatial=0` (one per activation) is gone. */
const batchNormalization9: Rule = (node) => {
  if (takeInt(node, 'spatial') === 0) refuse(node, 'statistics per activation (spatial=0) no longer exist');
};

/** 9: scales are an input. */
const upsample9: Rule = (node, place) => {
  const scales = takeFloats(node, 'scales') ?? refuse(node, 'it has no scales');
  node.setInput(1, constantFor(node, place, 'scales', floatTensor([scales.length], Float32Array.from(scales))));
};

/** 9: the state of a Scan moved from leading batch axes to its own inputs. */
const scan9: Rule = (node) => refuse(node, 'its batch axis was removed');

/** 10: Upsample, which only ever enlarges, became Resize; which neighbour is nearest can be said from 11 on. */
const upsample10: Rule = (node, place) => {
  const resize = replaceNode(node, place, { op: 'Resize', outputs: 1 });
  if (place.target > 10 && mapsToNearest(resize)) resize.setAttribute('nearest_mode', textAttribute('floor'));
};

/** 10: the mask became boolean; one that nothing reads goes. */
const dropout10: Rule = (node, place) => {
  if (isRead(node, 1, place)) refuse(node, 'its mask is read, whose type changed');
  if (node.outputs.length > 1) node.setOutput(1, undefined);
};

/** 10: starts, ends and axes are inputs. */
const slice10: Rule = (node, place) => {
  intsToInput('starts', 1)(node, place);
  intsToInput('ends', 2)(node, place);
  intsToInput('axes', 3)(node, place);
};

/** 10: k is an input. */
const topK10: Rule = (node, place) => {
  const count = takeInt(node, 'k') ?? refuse(node, 'it has no k');
  node.setInput(1, constantFor(node, place, 'k', intTensor([1], [count])));
};

/** 11: bounds are inputs; a missing one still means none. */
const clip11: Rule = (node, place) => {
  const bounds = [takeFloat(node, 'min'), takeFloat(node, 'max')];
  if (bounds.every((bound) => bound === undefined)) return;
  const dtype = elementTypeOf(node, 0, place);
  bounds.forEach((bound, index) => {
    if (bound === undefined) return;
    node.setInput(index + 1, constantFor(node, place, index === 0 ? 'min' : 'max', tensorOf(dtype, [], [bound])));
  });
};

/** 11: pads and the fill value are inputs. */
const pad11: Rule = (node, place) => {
  intsToInput('pads', 1)(node, place);
  const fill = takeFloat(node, 'value');
  if (fill !== undefined && fill !== 0)
    node.setInput(2, constantFor(node, place, 'value', tensorOf(elementTypeOf(node, 0, place), [], [fill])));
};

const mapsToNearest = (node: Node): boolean => (node.text('mode') ?? 'nearest') === 'nearest';

/**
 * 11: how coordinates map is spelled out. Resize-10 maps x to x / scale and takes the pixel below when it enlarges,
 * the pixel above when it shrinks (as onnxruntime does; the specification leaves it open).
 */
const resize11: Rule = (node, place) => {
  const scales = node.inputs[1];
  node.setInput(2, scales);
  // The region of interest, which this mode ignores, may be left out from 13 on.
  node.setInput(1, place.target < 13 ? constantFor(node, place, 'roi', floatTensor([0], [])) : undefined);
  node.setAttribute('coordinate_transformation_mode', textAttribute('asymmetric'));
  if (!mapsToNearest(node) || node.attributes.has('nearest_mode')) return;
  const constant = constantOf(scales);
  if (!constant) return refuse(node, 'it picks nearest pixels by scales computed at run time');
  const factors = Array.from(readNumbers(constant));
  const shrinks = factors.some((factor) => factor < 1);
  if (shrinks && factors.some((factor) => factor > 1)) refuse(node, 'it enlarges one axis and shrinks another');
  node.setAttribute('nearest_mode', textAttribute(shrinks ? 'ceil' : 'floor'));
};

/** 11: Scatter got its present name. */
const scatter11: Rule = (node, place) => {
  replaceNode(node, place, { op: 'ScatterElements', outputs: 1 });
};

/** 12: the ratio is an input; inference passes everything through whatever it is. */
const dropout12: Rule = (node, place) => {
  const ratio = takeFloat(node, 'ratio');
  if (ratio !== undefined) node.setInput(1, constantFor(node, place, 'ratio', floatTensor([], Float32Array.of(ratio))));
};

/** What changed between operator sets 8 and 12, by operator and by the version that changed it. */
export const rulesTo12: ReadonlyMap<string, ReadonlyMap<number, Rule>> = new Map([
  ['BatchNormalization', new Map([[9, batchNormalization9]])],
  ['Scan', new Map([[9, scan9]])],
  [
    'Upsample',
    new Map([
      [9, upsample9],
      [10, upsample10],
    ]),
  ],
  [
    'Dropout',
    new Map([
      [10, dropout10],
      [12, dropout12],
    ]),
  ],
  ['Slice', new Map([[10, slice10]])],
  ['TopK', new Map([[10, topK10]])],
  ['Clip', new Map([[11, clip11]])],
  ['Pad', new Map([[11, pad11]])],
  ['Resize', new Map([[11, resize11]])],
  ['Scatter', new Map([[11, scatter11]])],
]);
