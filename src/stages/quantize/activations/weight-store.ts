import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import type { NameSource } from '../../../ir/edit/names.ts';
import type { Graph, Value } from '../../../ir/graph.ts';
import { arrayOfMatrix } from '../../../ir/matrix-layout.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { floatTensor, readFloats } from '../../../ir/read.ts';
import { elementCount } from '../../../ir/shape.ts';
import { MemoryTensor, type Tensor } from '../../../ir/tensor.ts';
import { transposeU8 } from '../../../kernels/index.ts';
import { type ChannelView, channelView, encodeWeight, type WeightCodes } from './weight-codes.ts';

/** Zero point of weights that are stored as unsigned integers. */
export const unsignedZero = 128;

/** Codes of so many bits lie within ± this. */
export const weightLimit = (bits: number): number => 2 ** (bits - 1) - 1;

/** A weight in integers, as constants of the program. */
export interface StoredWeight {
  readonly codes: Value;
  readonly scales: Value;
  /** Zero points of unsigned codes, in the shape of the scales. */
  readonly zeroPoints: Value | undefined;
  /** The numbers in `scales`: one per channel, or one. */
  readonly scaleNumbers: Float32Array;
}

export interface WeightRequest {
  /** Codes lie in ±limit. */
  readonly limit: number;
  readonly granularity: 'channel' | 'tensor';
  /** How the codes are stored: signed, or unsigned with the zero point 128. */
  readonly dtype: 'int8' | 'uint8';
  /** 'transposed' swaps the last two axes of the weight. */
  readonly arrangement: 'plain' | 'transposed';
  /**
   * Graph that keeps the constants: the site's own where DequantizeLinear reads them, since runtimes only fuse it with
   * constants beside it; the main one where an integer operator does, so that branches share them.
   */
  readonly home: Graph;
  /** See WeightProblem. */
  readonly floors?: Float32Array | undefined;
  /** Where the channels lie; the site's rows by default. */
  readonly view?: ChannelView;
  /** Shape of the scales of a weight with one per channel; default one axis. */
  readonly scaleShape?: readonly number[];
}

/** Axis along which the rows (outputs) of a site's weight lie. */
export const rowAxis = (site: Site): number => (site.layout === 'rows-first' ? 0 : 1);

const bytesOf = (codes: Int8Array | Uint8Array): Uint8Array =>
  new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength);

/** Bytes of 8-bit codes as a constant of the type. */
export const codesTensor = (codes: Int8Array | Uint8Array, shape: readonly number[]): MemoryTensor =>
  new MemoryTensor(codes instanceof Int8Array ? 'int8' : 'uint8', shape, bytesOf(codes));

/** The rows of a site's weight as channels. */
export const rowView = (site: Site, shape: readonly number[]): ChannelView =>
  site.layout === 'rows-first' ? { outer: 1, channels: site.rows, inner: site.columns } : channelView(shape, 1);

/** The array with its last two axes swapped. */
const swapLastAxes = (codes: Int8Array, shape: readonly number[]): Int8Array => {
  const rows = shape.at(-2) ?? 1;
  const columns = shape.at(-1) ?? 1;
  const swapped = new Int8Array(codes.length);
  for (let begin = 0; begin < codes.length; begin += rows * columns) {
    const matrix = bytesOf(codes.subarray(begin, begin + rows * columns));
    bytesOf(swapped).set(transposeU8(matrix, rows, columns), begin);
  }
  return swapped;
};

/** Signed codes as unsigned ones with the zero point 128: the sign bit flipped. */
const toUnsigned = (codes: Int8Array): Uint8Array => {
  const unsigned = new Uint8Array(codes.length);
  for (let index = 0; index < codes.length; index++) unsigned[index] = codes[index]! + unsignedZero;
  return unsigned;
};

/**
 * The codes that an earlier rounding chose, taken over as they are: whole rows, no zero points, positive scales, within
 * the limit. Undefined when they do not fit the request.
 */
const packedCodes = (tensor: Tensor, request: WeightRequest): WeightCodes | undefined => {
  if (!(tensor instanceof PackedTensor) || request.granularity !== 'channel' || request.view) return undefined;
  const { facts, groups } = tensor;
  if (groups !== 1 || facts.zeroPoints || facts.scales.some((scale) => scale <= 0)) return undefined;
  if (request.floors?.some((floor, row) => floor > facts.scales[row]!)) return undefined;
  const zero = 2 ** (facts.bits - 1);
  const matrix = Float32Array.from(tensor.unpackedCodes(), (code) => code - zero);
  if (matrix.some((code) => Math.abs(code) > request.limit)) return undefined;
  return { codes: Int8Array.from(arrayOfMatrix(matrix, facts.shape, facts.layout)), scales: facts.scales };
};

/** The integers of a site's weight in the order of its elements. Reads the weight. */
export const encodeSite = (site: Site, request: WeightRequest): WeightCodes => {
  const tensor = siteTensor(site);
  const view = request.view ?? rowView(site, tensor.shape);
  return (
    packedCodes(tensor, request) ??
    encodeWeight({
      weights: readFloats(tensor),
      view,
      name: site.weight.name,
      limit: request.limit,
      granularity: request.granularity,
      ...(request.floors ? { floors: request.floors } : {}),
    })
  );
};

/** Rounds weights once, whatever number of products reads them. Equal constants of a graph are stored once. */
export class WeightStore {
  readonly #names: NameSource;
  readonly #stored = new Map<Graph, Map<string, StoredWeight>>();
  readonly #numbers = new Map<Value, number>();
  readonly #constants = new Map<Graph, { readonly tensor: Tensor; readonly value: Value }[]>();

  constructor(names: NameSource) {
    this.#names = names;
  }

  /** The integers of a site's weight; the first request of a kind for a weight decides how it is rounded. */
  store(site: Site, request: WeightRequest): StoredWeight {
    const { granularity, limit, dtype, arrangement, home, scaleShape = [] } = request;
    const key = [this.#numberOf(site.weight), rowAxis(site), granularity, limit, dtype, arrangement, scaleShape].join(
      '/',
    );
    const stored = this.#stored.get(home) ?? new Map<string, StoredWeight>();
    this.#stored.set(home, stored);
    const found = stored.get(key);
    if (found) return found;
    const made = this.#make(site, request);
    stored.set(key, made);
    return made;
  }

  #make(site: Site, request: WeightRequest): StoredWeight {
    const { granularity, dtype, arrangement, home } = request;
    const { shape } = siteTensor(site);
    const { codes, scales } = encodeSite(site, request);
    const arranged = arrangement === 'transposed' ? swapLastAxes(codes, shape) : codes;
    const arrangedShape =
      arrangement === 'transposed' ? [...shape.slice(0, -2), shape.at(-1) ?? 1, shape.at(-2) ?? 1] : shape;
    const typed = dtype === 'uint8' ? toUnsigned(arranged) : arranged;
    const scaleShape = granularity === 'tensor' ? [] : (request.scaleShape ?? [scales.length]);
    const zeros = new Uint8Array(elementCount(scaleShape)).fill(unsignedZero);
    return {
      codes: this.addConstant(home, `${site.weight.name}_q`, codesTensor(typed, arrangedShape)),
      scales: this.addConstant(home, `${site.weight.name}_s`, floatTensor(scaleShape, scales)),
      zeroPoints:
        dtype === 'uint8' ? this.addConstant(home, `zero_${unsignedZero}`, codesTensor(zeros, scaleShape)) : undefined,
      scaleNumbers: scales,
    };
  }

  #numberOf(weight: Value): number {
    const number = this.#numbers.get(weight) ?? this.#numbers.size;
    this.#numbers.set(weight, number);
    return number;
  }

  /** A constant of a graph: one that was added before with these bytes, or a new one with a free name. */
  addConstant(graph: Graph, name: string, tensor: MemoryTensor): Value {
    const known = this.#constants.get(graph) ?? [];
    this.#constants.set(graph, known);
    const same = known.find((constant) => equalTensors(constant.tensor, tensor));
    if (same) return same.value;
    const value = graph.addInitializer(this.#names.fresh(name), tensor);
    known.push({ tensor, value });
    return value;
  }
}

/** Same type, shape and bytes; both in memory. */
const equalTensors = (a: Tensor, b: Tensor): boolean =>
  a.dtype === b.dtype &&
  elementCount(a.shape) === elementCount(b.shape) &&
  a.shape.join() === b.shape.join() &&
  Buffer.compare(a.bytes(), b.bytes()) === 0;
