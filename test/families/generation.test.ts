import { describe, expect, test } from 'vitest';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { arrayOfNumbers, filledArray, numbersOfArray } from '../../src/execution/arrays.ts';
import type { Feeds } from '../../src/execution/session.ts';
import type { Program } from '../../src/ir/graph.ts';
import {
  buildGolden,
  fitsFusedAttention,
  type Golden,
  goldenNames,
  isDecoder,
  largestDifference,
  openGolden,
  runProgram,
} from './golden.ts';

const goldens = goldenNames.map(openGolden).filter(isDecoder);

/** Their rotation depends on the length of the sequence, so that decoding in steps is another thing. */
const lengthDependent = ['llama-dynamic', 'llama-longrope', 'phi3'];

const integers = (shape: readonly number[], numbers: readonly number[]): NumericArray =>
  arrayOfNumbers('int64', shape, numbers);

/** Rows `begin` to `end` of the second dimension. */
const columns = (array: NumericArray, begin: number, end: number): NumericArray => {
  const [rows = 0, width = 0, ...inner] = array.shape;
  const size = inner.reduce((product, dim) => product * dim, 1);
  const numbers = Array.from(numbersOfArray(array));
  const kept = Array.from({ length: rows }, (_, row) =>
    numbers.slice((row * width + begin) * size, (row * width + end) * size),
  ).flat();
  return arrayOfNumbers(array.dtype, [rows, end - begin, ...inner], kept);
};

/** The cache inputs of a program without earlier positions. */
const emptyCache = (program: Program, batch: number): Map<string, NumericArray> =>
  new Map(
    program.graph.inputs
      .filter(({ name }) => name.startsWith('past_key_values.'))
      .map(({ name, type }) => {
        const shape = type?.kind === 'tensor' ? type.shape : undefined;
        return [name, filledArray('float32', [batch, Number(shape?.[1]), 0, Number(shape?.[3])], 0)];
      }),
  );

const cacheOf = (results: Feeds): Map<string, NumericArray> =>
  new Map(
    [...results]
      .filter(([name]) => name.startsWith('present.'))
      .map(([name, array]) => [name.replace('present', 'past_key_values'), array]),
  );

/** One step over columns `begin` to `end` of the golden's tokens, all earlier ones in the cache. */
const step = (
  program: Program,
  { arrays }: Golden,
  begin: number,
  end: number,
  cache: Feeds,
): Promise<Map<string, NumericArray>> => {
  const ids = arrays.get('input_ids')!;
  const [rows = 0] = ids.shape;
  const places = Array.from({ length: end - begin }, (_, index) => begin + index);
  return runProgram(
    program,
    new Map([
      ...cache,
      ['input_ids', columns(ids, begin, end)],
      ['attention_mask', integers([rows, end], new Array(rows * end).fill(1))],
      ['position_ids', integers([rows, end - begin], Array.from({ length: rows }, () => places).flat())],
    ]),
  );
};

describe.each([
  ['standard operators', false, [7, 11, 12]],
  ['fused operators', true, [7, 8, 9, 10, 11, 12]],
] as const)('the generation layout in %s', (_title, fused, ends) => {
  const decoders = goldens.filter((golden) => !fused || fitsFusedAttention(golden));

  test.each(decoders)('$name: an empty cache and a full mask give the scoring logits', async (golden) => {
    const program = buildGolden(golden, { layout: 'generation', fused });
    const results = await step(program, golden, 0, 12, emptyCache(program, 2));
    expect(largestDifference(results.get('logits'), golden.arrays.get('logits'))).toBeLessThan(1e-4);
  });

  test.each(decoders.filter(({ name }) => !lengthDependent.includes(name)))(
    '$name: decoding with a cache equals decoding at once',
    async (golden) => {
      const program = buildGolden(golden, { layout: 'generation', fused });
      const wanted = golden.arrays.get('logits')!;
      let cache = emptyCache(program, 2);
      let begin = 0;
      for (const end of ends) {
        const results = await step(program, golden, begin, end, cache);
        expect(largestDifference(results.get('logits'), columns(wanted, begin, end))).toBeLessThan(1e-4);
        cache = cacheOf(results);
        begin = end;
      }
    },
  );

  test.each(decoders.filter(({ arrays }) => arrays.has('padded_logits')))(
    '$name: padding on the left does not show in the other tokens',
    async (golden) => {
      const program = buildGolden(golden, { layout: 'generation', fused });
      const { arrays } = golden;
      const results = await runProgram(
        program,
        new Map([...emptyCache(program, 2), ...arrays].filter(([name]) => name !== 'logits')),
      );
      const wanted = arrays.get('padded_logits')!;
      const mask = numbersOfArray(arrays.get('attention_mask')!);
      const vocabulary = wanted.shape[2]!;
      const real = (index: number): boolean => mask[Math.floor(index / vocabulary)] === 1;
      expect(largestDifference(results.get('logits'), wanted, real)).toBeLessThan(1e-4);
    },
  );
});
