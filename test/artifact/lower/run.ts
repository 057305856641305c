import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import type { SessionOptions } from '../../../src/execution/session.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { elementCount } from '../../../src/ir/shape.ts';
import { Random } from '../../../src/random.ts';

/** Seeded normal numbers of a shape, as a session takes them. */
export const normalArray = (shape: readonly number[], seed: number): NumericArray => ({
  dtype: 'float32',
  shape,
  data: new Random(seed).normals(elementCount(shape)),
});

export const intArray = (shape: readonly number[], numbers: readonly number[]): NumericArray => ({
  dtype: 'int64',
  shape,
  data: BigInt64Array.from(numbers, BigInt),
});

/** What a program computes in onnxruntime, by output name. */
export const runProgram = async (
  program: Program,
  feeds: Readonly<Record<string, NumericArray>>,
  options: SessionOptions = {},
): Promise<Map<string, NumericArray>> => {
  const session = await onnxruntimeEngine.open(program, options);
  try {
    return await session.run(new Map(Object.entries(feeds)));
  } finally {
    await session.close();
  }
};

/** Largest absolute difference between two sets of outputs; infinite when names or shapes differ. */
export const largestDifference = (
  a: ReadonlyMap<string, NumericArray>,
  b: ReadonlyMap<string, NumericArray>,
): number => {
  if ([...a.keys()].join() !== [...b.keys()].join()) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (const [name, { data, shape }] of a) {
    const other = b.get(name)!;
    if (shape.join() !== other.shape.join()) return Number.POSITIVE_INFINITY;
    for (let index = 0; index < data.length; index++)
      largest = Math.max(largest, Math.abs(Number(data[index]) - Number(other.data[index])));
  }
  return largest;
};
