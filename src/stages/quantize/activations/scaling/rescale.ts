import { readSiteMatrix, siteTensor, writeSiteMatrix } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { internalError } from '../../../../errors.ts';
import type { NameSource } from '../../../../ir/edit/names.ts';
import { setConstant } from '../../../../ir/edit/replace.ts';
import { type Graph, Node, Value } from '../../../../ir/graph.ts';
import { floatTensor, readFloats } from '../../../../ir/read.ts';
import { elementCount } from '../../../../ir/shape.ts';
import type { Tensor } from '../../../../ir/tensor.ts';
import { constantOf } from '../../../../ir/walk.ts';
import { ofRank, unscaled } from './pattern.ts';
import type { ScaledConstant } from './step.ts';
import type { Folding } from './trace.ts';

/** The factor of each number of a pattern: that of the channel whose class it is in. */
const factorsById = ({ classes }: Folding, factors: Float32Array): Float32Array => {
  const byId = new Float32Array(classes.length + 1).fill(1);
  for (const [channel, id] of classes.entries()) byId[channel + 1] = id === unscaled ? 1 : factors[id - 1]!;
  return byId;
};

/** A constant times the factors where they stand; as long as the factors along axes where it had one element. */
const scaledTensor = (tensor: Tensor, { pattern }: ScaledConstant, factors: Float32Array): Tensor => {
  const numbers = readFloats(tensor);
  const own = tensor.shape;
  const rank = Math.max(own.length, pattern.shape.length);
  const spread = ofRank(pattern, rank)!.shape;
  const padded = [...Array<number>(rank - own.length).fill(1), ...own];
  const shape = padded.map((dim, axis) => Math.max(dim, spread[axis]!));
  const result = new Float32Array(elementCount(shape));
  const strideOf = (of: readonly number[], axis: number): number =>
    of[axis] === 1 ? 0 : elementCount(of.slice(axis + 1));
  const steps = shape.map((size, axis) => ({
    size,
    stride: elementCount(shape.slice(axis + 1)),
    from: strideOf(padded, axis),
    factor: strideOf(spread, axis),
  }));
  for (let index = 0; index < result.length; index++) {
    let [from, factor] = [0, 0];
    for (const step of steps) {
      const at = Math.floor(index / step.stride) % step.size;
      from += at * step.from;
      factor += at * step.factor;
    }
    result[index] = numbers[from]! * factors[pattern.ids[factor]!]!;
  }
  const first = shape.findIndex((dim, axis) => dim > 1 || axis >= rank - own.length);
  return floatTensor(first < 0 ? [] : shape.slice(first), result);
};

/** Multiplies what was traced; a constant that something else reads too is copied. */
const scaleConstants = (folding: Folding, factors: Float32Array, names: NameSource): void => {
  const byId = factorsById(folding, factors);
  for (const constant of folding.constants) {
    const { node, index } = constant;
    const value = node.inputs[index];
    const tensor = constantOf(value);
    const graph = node.graph;
    if (!value || !tensor || !graph) throw internalError('a traced constant is gone: trace again after editing');
    const scaled = scaledTensor(tensor, constant, byId);
    if (value.uses.length === 1) setConstant(value, scaled);
    else node.setInput(index, graph.addInitializer(names.fresh(`${value.name}_scaled`), scaled));
  }
};

/** Elements of a site's columns that one channel of its input stands for: the kernel of a convolution, else one. */
const columnsPerChannel = (site: Site): number =>
  site.op === 'Conv' || site.op === 'ConvTranspose' ? elementCount(siteTensor(site).shape.slice(2)) : 1;

/**
 * Multiplies the columns of a weight by the factors of the channels that they read, (channels). The filters of a grouped
 * convolution see the channels of their group.
 */
export const scaleColumns = (site: Site, factors: Float32Array): void => {
  const matrix = Float32Array.from(readSiteMatrix(site));
  const kernel = columnsPerChannel(site);
  const channels = site.columns / kernel;
  const rowsPerGroup = site.rows / site.groups;
  for (let row = 0; row < site.rows; row++) {
    const first = Math.floor(row / rowsPerGroup) * channels;
    for (let column = 0; column < site.columns; column++)
      matrix[row * site.columns + column]! *= factors[first + Math.floor(column / kernel)]!;
  }
  writeSiteMatrix(site, matrix);
};

/** A scaling of the channels of a value that leaves everything else as it was. */
export interface Rescaling {
  readonly value: Value;
  /** All products that read the value. */
  readonly readers: readonly Site[];
  /** (channels), positive: the value is divided by these, the columns of its readers are multiplied by them. */
  readonly divisors: Float32Array;
  /** Where the division is folded; undefined: a Mul computes it in front of the readers. */
  readonly folding: Folding | undefined;
}

const inverse = (numbers: Float32Array): Float32Array => numbers.map((number) => 1 / number);

/** Puts value · factors in the place of the value for these readers. */
const insertProduct = (graph: Graph, { value, readers, divisors }: Rescaling, names: NameSource): Value => {
  const factors = graph.addInitializer(
    names.fresh(`${value.name}_factors`),
    floatTensor([divisors.length], inverse(divisors)),
  );
  const made = new Value(names.fresh(`${value.name}_smooth`), value.type);
  const node = new Node({ op: 'Mul', inputs: [value, factors], outputs: [made] });
  if (value.producer) graph.insertAfter(node, value.producer);
  else graph.insert(node, graph.nodes[0]);
  for (const site of readers) site.node.setInput(0, made);
  return made;
};

/**
 * Applies a rescaling, in place, and returns the value that the readers read then. Divisors of one class must be equal,
 * those of unscaled channels one.
 */
export const rescale = (graph: Graph, rescaling: Rescaling, names: NameSource): Value => {
  const { value, readers, divisors, folding } = rescaling;
  for (const site of readers) scaleColumns(site, divisors);
  if (!folding) return insertProduct(graph, rescaling, names);
  scaleConstants(folding, inverse(divisors), names);
  return value;
};
