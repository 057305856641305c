import { nameSource } from '../../../ir/edit/names.ts';
import { intsAttribute, type Node, type Value } from '../../../ir/graph.ts';
import { intTensor } from '../../../ir/read.ts';
import { constantOf } from '../../../ir/walk.ts';
import type { Axis, AxisPart, AxisRule, AxisRules, AxisTable, KeptView } from '../axes.ts';
import { writeNumbers } from '../vectors.ts';

const positionOf = (axis: number, value: Value | undefined, table: AxisTable): number => {
  const rank = table.shape(value)?.length ?? 0;
  return axis < 0 ? axis + rank : axis;
};

/** Axes of two values but one are the same. */
const sameExcept = (
  x: Value | undefined,
  y: Value | undefined,
  except: ReadonlySet<number>,
  table: AxisTable,
): void => {
  const rank = table.shape(x)?.length ?? 0;
  for (let axis = 0; axis < rank; axis++) if (!except.has(axis)) table.same(table.at(x, axis), table.at(y, axis));
};

/** A value's axis as a part of a longer one. A single element has no axis of its own and stays. */
const partOf = (value: Value | undefined, axis: number, table: AxisTable): AxisPart | undefined => {
  const size = table.shape(value)?.[axis];
  if (typeof size !== 'number') return undefined;
  const found = table.at(value, axis);
  if (found !== undefined || size === 0) return { axis: found, size };
  const single = table.virtual(size);
  table.block(single, 'it is a single element');
  return { axis: single, size };
};

const joined = (whole: Axis | undefined, parts: readonly (AxisPart | undefined)[], table: AxisTable): boolean => {
  const known = parts.filter((part) => part !== undefined);
  if (known.length === parts.length) table.concatenation(whole, known);
  else
    for (const axis of [whole, ...known.map((part) => part.axis)])
      table.block(axis, 'it is joined to something of unknown length');
  return known.length === parts.length;
};

const concat: AxisRule = (node, table) => {
  const [y] = node.outputs;
  const axis = positionOf(node.int('axis', 0), y, table);
  const except = new Set([axis]);
  for (const x of node.inputs) sameExcept(x, y, except, table);
  joined(
    table.at(y, axis),
    node.inputs.map((x) => partOf(x, axis, table)),
    table,
  );
};

/** Writes a vector of lengths into an attribute, or into an input of its own. */
const setVector = (node: Node, attribute: string, input: number, numbers: readonly number[]): void => {
  if (node.attributes.has(attribute)) {
    node.setAttribute(attribute, intsAttribute(numbers));
    return;
  }
  const graph = node.graph;
  if (!graph) return;
  const name = nameSource(graph).fresh(`${node.name || node.op}/${attribute}`);
  node.setInput(input, graph.addInitializer(name, intTensor([numbers.length], numbers)));
};

const split: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const axis = positionOf(node.int('axis', 0), x, table);
  for (const y of node.outputs) sameExcept(x, y, new Set([axis]), table);
  const parts = node.outputs.map((y) => partOf(y, axis, table));
  if (!joined(table.at(x, axis), parts, table)) return;
  const axes = parts.map((part) => part!);
  table.adjustments.push((view) => {
    const sizes = axes.map((part) => (part.axis === undefined ? part.size : view.kept(part.axis).length));
    if (sizes.every((size, index) => size === axes[index]!.size)) return;
    node.attributes.delete('num_outputs');
    setVector(node, 'split', 1, sizes);
  });
};

/** What a Slice takes of one axis. */
interface Range {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
}

/** Starts and steps of a Slice by axis; undefined where they are computed. */
const rangesOf = (node: Node, table: AxisTable): Range[] | undefined => {
  const vector = (attribute: string, input: number): readonly number[] | undefined => {
    const given = node.ints(attribute) ?? table.contents(node.inputs[input]);
    return given?.every((number) => typeof number === 'number') ? given : undefined;
  };
  const starts = vector('starts', 1);
  if (!starts) return undefined;
  const axes = vector('axes', 3) ?? starts.map((_, index) => index);
  const steps = vector('steps', 4) ?? starts.map(() => 1);
  return axes.map((axis, index) => ({
    axis: positionOf(axis, node.inputs[0], table),
    start: starts[index]!,
    step: steps[index]!,
  }));
};

const slice: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const ranges = rangesOf(node, table);
  if (!ranges) {
    for (const value of [x, y]) table.blockAll(value, 'Slice takes a computed range');
    return;
  }
  sameExcept(x, y, new Set(ranges.map(({ axis }) => axis)), table);
  ranges.forEach(({ axis, start, step }, index) => {
    const [whole, part] = [table.shape(x)?.[axis], table.shape(y)?.[axis]];
    const [from, to] = [table.at(x, axis), table.at(y, axis)];
    if (step === 1 && whole === part && typeof whole === 'number') table.same(from, to);
    else if (step === 1 && typeof whole === 'number' && typeof part === 'number' && from !== undefined)
      sliceOne(node, { index, from, part: partOf(y, axis, table)!, start: start < 0 ? start + whole : start }, table);
    else for (const found of [from, to]) table.block(found, 'Slice takes every other element of it');
  });
};

interface SlicedAxis {
  /** Index among the Slice's axes. */
  readonly index: number;
  readonly from: Axis;
  readonly part: AxisPart;
  readonly start: number;
}

const sliceOne = (node: Node, { index, from, part, start }: SlicedAxis, table: AxisTable): void => {
  const rest = table.size(from) - start - part.size;
  table.concatenation(from, [{ axis: undefined, size: start }, part, { axis: undefined, size: rest }]);
  table.adjustments.push((view) => {
    const kept = view.kept(from);
    const first = kept.filter((element) => element < start).length;
    const last = kept.filter((element) => element < start + part.size).length;
    if (first === start && last === start + part.size) return;
    writeAt(node, 'starts', 1, index, first, table);
    writeAt(node, 'ends', 2, index, last, table);
  });
};

/** Writes one number of a vector that is an attribute or an input. */
const writeAt = (
  node: Node,
  attribute: string,
  input: number,
  index: number,
  number: number,
  table: AxisTable,
): void => {
  const given = node.ints(attribute);
  if (given) node.setAttribute(attribute, intsAttribute(given.with(index, number)));
  else writeNumbers(node, input, new Map([[index, number]]), table);
};

/** Padding is a concatenation with elements that nothing computes. */
const pad: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const rank = table.shape(x)?.length ?? 0;
  const pads = node.ints('pads') ?? node.ints('paddings') ?? table.contents(node.inputs[1]);
  const constant = (node.text('mode') ?? 'constant') === 'constant';
  const [attribute] = ['pads', 'paddings'].filter((name) => node.attributes.has(name));
  for (let axis = 0; axis < rank; axis++) {
    const [before, after] = [pads?.[axis], pads?.[axis + rank]];
    const [from, to] = [table.at(x, axis), table.at(y, axis)];
    if (node.inputs[3] || typeof before !== 'number' || typeof after !== 'number' || before < 0 || after < 0)
      for (const found of [from, to]) table.block(found, 'Pad adds an unknown number of elements');
    else if (before === 0 && after === 0) table.same(from, to);
    else if (!constant || from === undefined || to === undefined)
      for (const found of [from, to]) table.block(found, 'Pad repeats elements of it');
    else {
      const parts = [before, table.size(from), after];
      table.concatenation(to, [
        { axis: undefined, size: before },
        { axis: from, size: table.size(from) },
        { axis: undefined, size: after },
      ]);
      table.adjustments.push((view) => {
        const kept = view.kept(to);
        const added = [kept.filter((element) => element < before).length, countFrom(kept, parts[0]! + parts[1]!)];
        if (added[0] === before && added[1] === after) return;
        writeAt(node, attribute ?? 'pads', 1, axis, added[0]!, table);
        writeAt(node, attribute ?? 'pads', 1, axis + rank, added[1]!, table);
      });
    }
  }
};

const countFrom = (kept: readonly number[], first: number): number => kept.filter((element) => element >= first).length;

/** Elements along the axis are picked by number, so none may go; the others follow. */
const gather: AxisRule = (node, table) => {
  const [x, indices] = node.inputs;
  const [y] = node.outputs;
  const axis = positionOf(node.int('axis', 0), x, table);
  const rank = table.shape(x)?.length ?? 0;
  const picked = table.shape(indices)?.length;
  table.block(table.at(x, axis), constantOf(x) ? 'elements are looked up by number' : 'elements are picked by number');
  if (picked === undefined) {
    for (const value of [x, y]) table.blockAll(value, 'Gather picks an unknown number of elements');
    return;
  }
  for (let index = 0; index < rank; index++)
    if (index !== axis) table.same(table.at(x, index), table.at(y, index < axis ? index : index + picked - 1));
  for (let index = 0; index < picked; index++) {
    const made = table.at(y, axis + index);
    table.same(made, table.at(indices, index));
    table.block(made, 'it is a list of picked elements');
  }
};

/** Pictures are resized at their positions; channels and samples pass. */
const resize: AxisRule = (node, table) => {
  const [x] = node.inputs;
  const [y] = node.outputs;
  const rank = table.shape(x)?.length ?? 0;
  const axes: (Axis | undefined)[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const same = table.shape(x)?.[axis] === table.shape(y)?.[axis] && axis < 2 && !node.attributes.has('axes');
    axes.push(same ? table.at(y, axis) : undefined);
    if (same) table.same(table.at(x, axis), table.at(y, axis));
    else for (const value of [x, y]) table.block(table.at(value, axis), `${node.op} scales it`);
  }
  table.adjustments.push((view: KeptView) => {
    const changes = axes.flatMap((axis, index): [number, number][] =>
      axis === undefined ? [] : [[index, view.kept(axis).length]],
    );
    if (node.inputs[3]) writeNumbers(node, 3, new Map(changes), table);
  });
};

export const joinRules: AxisRules = {
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  Resize: resize,
  Upsample: resize,
};
