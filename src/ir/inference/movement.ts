import {
  addDims,
  ceilDivideDims,
  isNonNegativeDim,
  maxDims,
  minDims,
  multiplyDims,
  sameDim,
  subtractDims,
} from '../dimension.ts';
import { type Dim, formatShape, isStatic, type Shape } from '../shape.ts';
import { pickView, sliceView, transposeView, type View, wholeView } from '../strided.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { sameAsFirst } from './elementwise.ts';
import { largestContents, tensorFact } from './fact.ts';
import { sumOfDims, unifyDim, unknownDims, withDim } from './shapes.ts';

/** Operators that rearrange, select or repeat elements. */

/** Contents of a view over the first input, where they are followed. */
const viewedContents = (call: Call, view: (whole: View) => View): readonly Dim[] | undefined => {
  const x = call.shape(0);
  const contents = call.contents(0);
  return contents && isStatic(x) ? pickView(view(wholeView(x)), contents) : undefined;
};

const transpose: Rule = (call) => {
  const x = call.shape(0);
  if (!x) return [tensorFact(call.dtype(0))];
  const permutation = call.node.ints('perm') ?? x.map((_, axis) => x.length - 1 - axis);
  if (permutation.length !== x.length || new Set(permutation).size !== x.length)
    call.problem(`perm [${permutation.join(', ')}] does not permute the axes of ${formatShape(x)}`);
  const shape = permutation.map((axis) => x[call.axis(axis, x.length)]!);
  return [
    tensorFact(
      call.dtype(0),
      shape,
      viewedContents(call, (whole) => transposeView(whole, permutation)),
    ),
  ];
};

const concatContents = (call: Call): readonly Dim[] | undefined => {
  const parts: Dim[] = [];
  for (let index = 0; index < call.node.inputs.length; index++) {
    const contents = call.contents(index);
    if (!contents || call.shape(index)?.length !== 1) return undefined;
    parts.push(...contents);
  }
  return parts;
};

const concat: Rule = (call) => {
  const shapes = call.node.inputs.map((_, index) => call.shape(index));
  const known = shapes.filter((shape) => shape !== undefined);
  const first = known[0];
  if (!first) return [tensorFact(call.dtype(0))];
  const axis = call.axis(call.node.int('axis', 1), first.length);
  const shape = first.map((_, at): Dim => {
    if (at === axis) return known.length === shapes.length ? sumOfDims(known.map((part) => part[at] ?? null)) : null;
    return known.reduce<Dim>(
      (dim, part) => unifyDim(call, dim, part[at], `axis ${at} of the concatenated inputs`),
      null,
    );
  });
  const odd = known.find((part) => part.length !== first.length);
  if (odd) call.problem(`${formatShape(first)} and ${formatShape(odd)} cannot be concatenated`);
  return [tensorFact(call.dtype(0), shape, concatContents(call))];
};

export interface SliceArguments {
  readonly starts: readonly Dim[];
  readonly ends: readonly Dim[];
  readonly axes: readonly number[];
  readonly steps: readonly Dim[];
}

/** Attributes before opset 10; inputs from there on. Undefined where they are not followed. */
export const sliceArguments = (call: Call, rank: number): SliceArguments | undefined => {
  const early = call.opset < 10;
  const starts = early ? call.node.ints('starts') : call.contents(1);
  const ends = early ? call.node.ints('ends') : call.contents(2);
  if (!starts || !ends) return undefined;
  const given = early ? (call.node.ints('axes') ?? 'absent') : call.has(3) ? (call.numbers(3) ?? 'unknown') : 'absent';
  if (given === 'unknown') return undefined;
  const axes = given === 'absent' ? starts.map((_, axis) => axis) : given;
  const steps = early || !call.has(4) ? starts.map(() => 1) : call.contents(4);
  return steps && { starts, ends, axes: axes.map((axis) => call.axis(axis, rank)), steps };
};

/** Bounds beyond this mean "to the end". */
const farAway = 2 ** 31 - 2;

/** A slice bound counted from the front and clamped to 0 .. dim; null where its sign depends on the symbols. */
const clampedBound = (bound: Dim, dim: Dim): Dim => {
  if (bound === 0) return 0;
  if (bound === null || dim === null) return null;
  if (typeof bound === 'number' && bound > farAway) return dim;
  const nonNegative = isNonNegativeDim(bound);
  if (nonNegative === undefined) return null;
  return nonNegative ? minDims(bound, dim) : maxDims(addDims(bound, dim), 0);
};

const slicedDim = (dim: Dim, start: Dim, end: Dim, step: Dim): Dim => {
  if (typeof step !== 'number' || step === 0) return null;
  if (step > 0) {
    const distance = subtractDims(clampedBound(end, dim), clampedBound(start, dim));
    const length = ceilDivideDims(distance, step);
    return isNonNegativeDim(length) ? length : maxDims(length, 0);
  }
  if (typeof dim === 'number' && typeof start === 'number' && typeof end === 'number') {
    const from = Math.min(start < 0 ? start + dim : start, dim - 1);
    const to = Math.max(end < 0 ? end + dim : end, -1);
    return Math.max(0, Math.ceil((to - from) / step));
  }
  const whole =
    typeof start === 'number' && (start === -1 || start > farAway) && typeof end === 'number' && end < -farAway;
  return whole ? ceilDivideDims(dim, -step) : null;
};

/** First element of a slice along an axis of `dim` elements. */
export const firstElement = (dim: number, start: number, step: number): number => {
  const counted = start < 0 ? start + dim : start;
  return step > 0 ? Math.min(Math.max(counted, 0), dim) : Math.min(counted, dim - 1);
};

const slice: Rule = (call) => {
  const x = call.shape(0);
  const given = x && sliceArguments(call, x.length);
  if (!given) return [tensorFact(call.dtype(0), x && unknownDims(x.length))];
  const { starts, ends, axes, steps } = given;
  if (starts.length !== axes.length || ends.length !== axes.length)
    call.problem('starts, ends and axes differ in length');
  const shape = axes.reduce<Shape>(
    (sliced, axis, index) => withDim(sliced, axis, slicedDim(x[axis]!, starts[index]!, ends[index]!, steps[index]!)),
    x,
  );
  const contents =
    isStatic(shape) &&
    isStatic(x) &&
    starts.every((start) => typeof start === 'number') &&
    steps.every((step) => typeof step === 'number')
      ? viewedContents(call, (whole) =>
          axes.reduce(
            (view, axis, index) =>
              sliceView(
                view,
                axis,
                firstElement(x[axis]!, Number(starts[index]), Number(steps[index])),
                shape[axis]!,
                Number(steps[index]),
              ),
            whole,
          ),
        )
      : undefined;
  return [tensorFact(call.dtype(0), shape, contents)];
};

/** Lengths of the parts: given, or as even as possible (the last part smaller). */
export const splitLengths = (call: Call, dim: Dim): readonly Dim[] => {
  const count = call.node.outputs.length;
  const given = call.node.ints('split') ?? call.contents(1);
  if (given) {
    if (given.length !== count) call.problem(`${given.length} parts are given for ${count} outputs`);
    if (sameDim(sumOfDims(given), dim) === false) call.problem(`parts of [${given.join(', ')}] do not make up ${dim}`);
    return given;
  }
  if (call.has(1)) return call.node.outputs.map(() => null);
  const even = ceilDivideDims(dim, count);
  return Array.from({ length: count }, (_, part) =>
    part < count - 1 ? even : subtractDims(dim, multiplyDims(even, count - 1)),
  );
};

const split: Rule = (call) => {
  const x = call.shape(0);
  if (!x) return call.node.outputs.map(() => tensorFact(call.dtype(0)));
  const axis = call.axis(call.node.int('axis', 0), x.length);
  let start = 0;
  return splitLengths(call, x[axis]!).map((length) => {
    const begin = start;
    const contents =
      typeof length === 'number'
        ? viewedContents(call, (whole) => sliceView(whole, axis, begin, length, 1))
        : undefined;
    start = typeof length === 'number' ? start + length : Number.NaN;
    return tensorFact(call.dtype(0), withDim(x, axis, length), Number.isNaN(start) ? undefined : contents);
  });
};

/** Elements of a followed vector at followed indices. */
const gatheredContents = (call: Call): readonly Dim[] | undefined => {
  const [contents, indices] = [call.contents(0), call.numbers(1)];
  if (!contents || !indices || call.shape(0)?.length !== 1) return undefined;
  return indices.map((index) => contents[index < 0 ? index + contents.length : index] ?? null);
};

const gather: Rule = (call) => {
  const [x, indices] = [call.shape(0), call.shape(1)];
  if (!x || !indices) return [tensorFact(call.dtype(0))];
  const axis = call.axis(call.node.int('axis', 0), x.length);
  return [tensorFact(call.dtype(0), [...x.slice(0, axis), ...indices, ...x.slice(axis + 1)], gatheredContents(call))];
};

/** The result has the shape of the indices. */
const gatherElements: Rule = (call) => [tensorFact(call.dtype(0), call.shape(1))];

const gatherNd: Rule = (call) => {
  const [x, indices] = [call.shape(0), call.shape(1)];
  const depth = indices?.at(-1);
  if (!x || !indices || typeof depth !== 'number') return [tensorFact(call.dtype(0))];
  const batch = call.node.int('batch_dims', 0);
  if (batch + depth > x.length) call.problem(`indices ${formatShape(indices)} reach beyond ${formatShape(x)}`);
  return [tensorFact(call.dtype(0), [...indices.slice(0, -1), ...x.slice(batch + depth)])];
};

const paddedDim = (dim: Dim, begin: Dim, end: Dim): Dim => addDims(dim, addDims(begin, end));

/** Pads as attribute before opset 11 (`paddings` in opset 1), as input after; axes from opset 18. */
const pad: Rule = (call) => {
  const x = call.shape(0);
  if (!x) return [tensorFact(call.dtype(0))];
  const pads = call.node.ints('pads') ?? call.node.ints('paddings') ?? call.contents(1);
  const given = call.has(3) ? call.numbers(3) : x.map((_, axis) => axis);
  if (!pads || !given) return [tensorFact(call.dtype(0), unknownDims(x.length))];
  const axes = given.map((axis) => call.axis(axis, x.length));
  if (pads.length !== 2 * axes.length) call.problem(`${pads.length} pads for ${axes.length} axes`);
  const shape = x.map((dim, axis) => {
    const at = axes.indexOf(axis);
    return at < 0 ? dim : paddedDim(dim, pads[at] ?? null, pads[at + axes.length] ?? null);
  });
  return [tensorFact(call.dtype(0), shape)];
};

/** Repeats as input; opset 1 has (input, tiles, axis). */
const tile: Rule = (call) => {
  const x = call.shape(0);
  const repeats = call.opset < 6 ? undefined : call.contents(1);
  if (!x || !repeats) return [tensorFact(call.dtype(0), x && unknownDims(x.length))];
  if (repeats.length !== x.length) call.problem(`${repeats.length} repeats for ${formatShape(x)}`);
  const shape = x.map((dim, axis) => multiplyDims(dim, repeats[axis]!));
  const contents = call.contents(0);
  const times = repeats[0];
  const followed =
    contents && x.length === 1 && typeof times === 'number' && contents.length * times <= largestContents;
  return [
    tensorFact(call.dtype(0), shape, followed ? Array.from({ length: times }, () => contents).flat() : undefined),
  ];
};

/** Elements put into a copy of a followed vector at followed indices (axis 0). */
const scatteredContents = (call: Call): readonly Dim[] | undefined => {
  const [contents, indices, updates] = [call.contents(0), call.numbers(1), call.contents(2)];
  const plain = (call.node.text('reduction') ?? 'none') === 'none' && call.shape(0)?.length === 1;
  if (!contents || !indices || !updates || !plain) return undefined;
  const result = [...contents];
  indices.forEach((index, at) => {
    result[index < 0 ? index + contents.length : index] = updates[at] ?? null;
  });
  return result;
};

const scatter: Rule = (call) => [tensorFact(call.dtype(0), call.shape(0), scatteredContents(call))];

/** Axes cropped or padded to a wished size. */
const centerCropPad: Rule = (call) => {
  const x = call.shape(0);
  const sizes = call.contents(1);
  if (!x || !sizes) return [tensorFact(call.dtype(0), x && unknownDims(x.length))];
  const axes = call.node.ints('axes')?.map((axis) => call.axis(axis, x.length)) ?? x.map((_, axis) => axis);
  return [
    tensorFact(
      call.dtype(0),
      x.map((dim, axis) => (axes.includes(axis) ? (sizes[axes.indexOf(axis)] ?? null) : dim)),
    ),
  ];
};

/** (indices…) with an axis of `depth` put in; the values say the type. */
const oneHot: Rule = (call) => {
  const indices = call.shape(0);
  if (!indices) return [tensorFact(call.dtype(2))];
  const axis = call.axis(call.node.int('axis', -1), indices.length + 1);
  const depth = call.contents(1)?.[0] ?? null;
  return [tensorFact(call.dtype(2), [...indices.slice(0, axis), depth, ...indices.slice(axis)])];
};

export const movementRules: RuleTable = {
  Transpose: transpose,
  Concat: concat,
  Slice: slice,
  Split: split,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  Pad: pad,
  Tile: tile,
  Scatter: scatter,
  ScatterElements: scatter,
  ScatterND: scatter,
  TensorScatter: sameAsFirst,
  CenterCropPad: centerCropPad,
  OneHot: oneHot,
  ReverseSequence: sameAsFirst,
  Trilu: sameAsFirst,
};
