import { byteLengthOf } from '../../data-type.ts';
import { firstElement, sliceArguments, splitLengths } from '../../inference/movement.ts';
import { readInts, readScalar, tensorOf } from '../../read.ts';
import { elementCount } from '../../shape.ts';
import { broadcastView, copyView, sliceView, transposeView, type View, wholeView } from '../../strided.ts';
import { StringTensor, type Tensor } from '../../tensor.ts';
import type { ConstantCall, Evaluator, EvaluatorTable } from './evaluator.ts';
import { isMovable, lazyTensor, packElements, reshapedTensor, viewTensor, wholeElements } from './lazy.ts';

/** Operators that move elements: exact, and lazy for large constants. */

const sameElements: Evaluator = ({ tensors, outputs }) => {
  const [tensor] = tensors;
  const [output] = outputs;
  return tensor && output && [reshapedTensor(tensor, output.shape)];
};

const identity: Evaluator = ({ tensors }) => (tensors[0] ? [tensors[0]] : undefined);

/** One view over the first input. */
const viewed =
  (viewOf: (constants: ConstantCall, whole: View) => View | undefined): Evaluator =>
  (constants) => {
    const [tensor] = constants.tensors;
    if (!tensor || !isMovable(tensor.dtype)) return undefined;
    const view = viewOf(constants, wholeView(tensor.shape));
    return view && [viewTensor(tensor, view)];
  };

const transpose = viewed(({ call }, whole) =>
  transposeView(whole, call.node.ints('perm') ?? whole.shape.map((_, axis) => whole.shape.length - 1 - axis)),
);

const expand = viewed(({ outputs }, whole) => outputs[0] && broadcastView(whole, outputs[0].shape));

const slice = viewed(({ call, outputs }, whole) => {
  const given = sliceArguments(call, whole.shape.length);
  const shape = outputs[0]?.shape;
  if (!given || !shape) return undefined;
  return given.axes.reduce((view, axis, index) => {
    const step = Number(given.steps[index]);
    const start = firstElement(whole.shape[axis]!, Number(given.starts[index]), step);
    return sliceView(view, axis, start, shape[axis]!, step);
  }, whole);
});

const split: Evaluator = ({ call, tensors, outputs }) => {
  const [tensor] = tensors;
  if (!tensor || !isMovable(tensor.dtype)) return undefined;
  const axis = call.axis(call.node.int('axis', 0), tensor.shape.length);
  const lengths = splitLengths(call, tensor.shape[axis]!);
  let start = 0;
  return outputs.map((_, part) => {
    const length = Number(lengths[part]);
    const view = sliceView(wholeView(tensor.shape), axis, start, length, 1);
    start += length;
    return viewTensor(tensor, view);
  });
};

/** Repeats seen as a broadcast: [a, b] tiled (p, q) is [p, a, q, b] with p and q repeated, then [p*a, q*b]. */
const tile: Evaluator = ({ tensors, outputs }) => {
  const [tensor, repeats] = tensors;
  const [output] = outputs;
  if (!tensor || !repeats || !output || !isMovable(tensor.dtype)) return undefined;
  const counts = readInts(repeats);
  const whole = wholeView(tensor.shape);
  const view: View = {
    shape: tensor.shape.flatMap((dim, axis) => [counts[axis]!, dim]),
    strides: whole.strides.flatMap((stride) => [0, stride]),
    offset: 0,
  };
  return [viewTensor(tensor, view, output.shape)];
};

const gather: Evaluator = ({ call, tensors, outputs }) => {
  const [tensor, indexTensor] = tensors;
  const [output] = outputs;
  if (!tensor || !indexTensor || !output || tensor instanceof StringTensor || !isMovable(tensor.dtype))
    return undefined;
  const axis = call.axis(call.node.int('axis', 0), tensor.shape.length);
  const length = tensor.shape[axis]!;
  const indices = readInts(indexTensor).map((index) => (index < 0 ? index + length : index));
  if (indices.some((index) => index < 0 || index >= length)) call.problem(`an index lies outside 0 … ${length - 1}`);
  const outer = elementCount(tensor.shape.slice(0, axis));
  const inner = elementCount(tensor.shape.slice(axis + 1));
  return [
    lazyTensor(output.dtype, output.shape, byteLengthOf(output.dtype, elementCount(output.shape)), () => {
      const { bytes, elementBytes } = wholeElements(tensor);
      const row = inner * elementBytes;
      const result = new Uint8Array(outer * indices.length * row);
      for (let block = 0; block < outer; block++)
        indices.forEach((index, at) => {
          const source = (block * length + index) * row;
          result.set(bytes.subarray(source, source + row), (block * indices.length + at) * row);
        });
      return packElements(output.dtype, result);
    }),
  ];
};

const concat: Evaluator = ({ call, tensors, outputs }) => {
  const [output] = outputs;
  const parts = tensors.filter((tensor): tensor is Tensor => tensor !== undefined);
  if (!output || parts.some((part) => part instanceof StringTensor || !isMovable(part.dtype))) return undefined;
  const axis = call.axis(call.node.int('axis', 1), output.shape.length);
  const outer = elementCount(output.shape.slice(0, axis));
  return [
    lazyTensor(output.dtype, output.shape, byteLengthOf(output.dtype, elementCount(output.shape)), () => {
      const pieces = parts.map(wholeElements);
      const rows = pieces.map((piece) => piece.bytes.length / Math.max(outer, 1));
      const result = new Uint8Array(rows.reduce((sum, row) => sum + row, 0) * outer);
      let target = 0;
      for (let block = 0; block < outer; block++)
        pieces.forEach((piece, index) => {
          const row = rows[index]!;
          result.set(piece.bytes.subarray(block * row, (block + 1) * row), target);
          target += row;
        });
      return packElements(output.dtype, result);
    }),
  ];
};

/** Constant padding; other modes are left to the engine. */
const pad: Evaluator = ({ call, tensors, outputs }) => {
  const [tensor, , value] = tensors;
  const [output] = outputs;
  const pads = call.node.ints('pads') ?? call.numbers(1);
  const constant = (call.node.text('mode') ?? 'constant') === 'constant';
  if (!tensor || !output || !pads || !constant || call.has(3) || tensor instanceof StringTensor) return undefined;
  if (!isMovable(tensor.dtype) || pads.some((count) => count < 0)) return undefined;
  const fill = value ?? tensorOf(tensor.dtype, [], [call.node.float('value', 0)]);
  const outputCount = elementCount(output.shape);
  return [
    lazyTensor(output.dtype, output.shape, byteLengthOf(output.dtype, outputCount), () => {
      const { bytes, elementBytes } = wholeElements(tensor);
      const background = copyView(broadcastView(wholeView([]), output.shape), wholeElements(fill).bytes, elementBytes);
      const target = wholeView(output.shape);
      const inside = tensor.shape.reduce((view, dim, axis) => sliceView(view, axis, pads[axis]!, dim, 1), target);
      writeRows(background, inside, bytes, elementBytes);
      return packElements(output.dtype, background);
    }),
  ];
};

/** Copies dense `source` into the places that `inside` sees of `target`, one innermost row at a time. */
const writeRows = (target: Uint8Array, inside: View, source: Uint8Array, elementBytes: number): void => {
  const row = (inside.shape.at(-1) ?? 1) * elementBytes;
  const outer = inside.shape.slice(0, -1);
  const count = elementCount(outer);
  if (row === 0) return;
  for (let index = 0; index < count; index++) {
    let place = inside.offset;
    let rest = index;
    for (let axis = outer.length - 1; axis >= 0; axis--) {
      place += (rest % outer[axis]!) * inside.strides[axis]!;
      rest = Math.floor(rest / outer[axis]!);
    }
    target.set(source.subarray(index * row, (index + 1) * row), place * elementBytes);
  }
};

/** One value repeated. */
const constantOfShape: Evaluator = ({ call, outputs }) => {
  const value = call.node.attributes.get('value');
  const [output] = outputs;
  if (!output || output.dtype === 'string') return undefined;
  const single = value?.kind === 'tensor' ? value.value : tensorOf('float32', [1], [0]);
  return [
    viewTensor(single, broadcastView(wholeView([1]), output.shape.length === 0 ? [1] : output.shape), output.shape),
  ];
};

const range: Evaluator = ({ tensors, outputs }) => {
  const [output] = outputs;
  const [start, , delta] = tensors;
  if (!output || !start || !delta || output.dtype === 'float16') return undefined;
  const [first, step] = [readScalar(start), readScalar(delta)];
  return [
    tensorOf(
      output.dtype,
      output.shape,
      Array.from({ length: output.shape[0]! }, (_, index) => first + index * step),
    ),
  ];
};

export const movementEvaluators: EvaluatorTable = {
  Identity: identity,
  Reshape: sameElements,
  Squeeze: sameElements,
  Unsqueeze: sameElements,
  Flatten: sameElements,
  Transpose: transpose,
  Expand: expand,
  Slice: slice,
  Split: split,
  Tile: tile,
  Gather: gather,
  Concat: concat,
  Pad: pad,
  ConstantOfShape: constantOfShape,
  Range: range,
};
