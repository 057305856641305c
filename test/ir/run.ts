import type { NumericArray } from '../../src/calibration/dataset.ts';
import { arrayFromBytes } from '../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import { encodeElements } from '../../src/ir/elements.ts';
import type { Program, Value } from '../../src/ir/graph.ts';
import { elementCount } from '../../src/ir/shape.ts';
import { Random } from '../../src/random.ts';

export const arrayOf = (dtype: DataType, shape: readonly number[], numbers: ArrayLike<number>): NumericArray =>
  arrayFromBytes(dtype, shape, encodeElements(dtype, numbers));

/** Random inputs of the given shapes: normal numbers, integers 0 or 1. */
export const randomFeeds = (
  program: Program,
  shapes: Readonly<Record<string, readonly number[]>>,
  seed = 1,
): Map<string, NumericArray> => {
  const feeds = new Map<string, NumericArray>();
  for (const value of program.graph.inputs) {
    const shape = shapes[value.name];
    if (!shape || value.type?.kind !== 'tensor') continue;
    const dtype = value.type.dtype ?? 'float32';
    const random = new Random(seed, value.name);
    const count = elementCount(shape);
    const numbers = dtype.startsWith('float')
      ? random.normals(count)
      : Array.from({ length: count }, () => random.integer(2));
    feeds.set(value.name, arrayOf(dtype, shape, numbers));
  }
  return feeds;
};

const fetchable = new Set<DataType>([
  'float32',
  'float64',
  'float16',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'bool',
]);

/** Computed values of the main graph that a session can return. */
export const observableValues = (program: Program): Value[] =>
  program.graph.nodes.flatMap((node) =>
    node.outputs.filter(
      (value): value is Value =>
        value?.type?.kind === 'tensor' && !!value.type.dtype && fetchable.has(value.type.dtype),
    ),
  );

/** Runs a program once in onnxruntime without graph optimisation. */
export const runProgram = async (
  program: Program,
  feeds: ReadonlyMap<string, NumericArray>,
  fetch: readonly Value[] = [],
): Promise<Map<string, NumericArray>> => {
  const session = await onnxruntimeEngine.open(program, { optimization: 'none', threads: 1, fetch });
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
};

/** Largest absolute difference of two arrays of the same shape; infinite when shapes or types differ. */
export const largestDifference = (a: NumericArray | undefined, b: NumericArray | undefined): number => {
  if (!a || !b || a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let index = 0; index < a.data.length; index++)
    largest = Math.max(largest, Math.abs(Number(a.data[index]) - Number(b.data[index])));
  return largest;
};
