import { describe, expect, test } from 'vitest';
import { arrayOfNumbers, castArray, floatArray, floatsOfArray } from '../../src/execution/arrays.ts';
import { bindingOf, bindSample } from '../../src/execution/feeds.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';

const bindingFor = (inputs: string, body = 'y = Identity(attention_mask)') =>
  bindingOf(parseProgram(`program opset=21\ngraph main(${inputs}) -> (y) {\n${body}\n}`));

const window = { kind: 'tokens', ids: Int32Array.of(5, 6, 7), scored: Uint8Array.of(0, 1, 1) } as const;

describe('feeds of token windows', () => {
  test('have a mask of ones, positions from zero and an empty past', () => {
    const binding = bindingFor(
      'input_ids: int64[batch, sequence], attention_mask: int64[batch, total], position_ids: int64[batch, sequence], token_type_ids: int64[batch, sequence], past_key_values.0.key: float16[batch, 4, past, 8], use_cache_branch: bool[1]',
    );
    const feeds = bindSample(window, binding, 'sample 0');
    expect(feeds.get('input_ids')).toEqual({ dtype: 'int64', shape: [1, 3], data: BigInt64Array.of(5n, 6n, 7n) });
    expect(feeds.get('attention_mask')?.data).toEqual(BigInt64Array.of(1n, 1n, 1n));
    expect(feeds.get('position_ids')?.data).toEqual(BigInt64Array.of(0n, 1n, 2n));
    expect(feeds.get('token_type_ids')?.data).toEqual(BigInt64Array.of(0n, 0n, 0n));
    expect(feeds.get('past_key_values.0.key')).toEqual({
      dtype: 'float16',
      shape: [1, 4, 0, 8],
      data: new Uint16Array(0),
    });
    expect(feeds.get('use_cache_branch')?.data).toEqual(Uint8Array.of(0));
  });

  test('go to the only integer input, whatever its name, in its type', () => {
    const feeds = bindSample(window, bindingFor('tokens: int32[1, n]', 'y = Neg(tokens)'), 'sample 0');
    expect(feeds.get('tokens')).toEqual({ dtype: 'int32', shape: [1, 3], data: Int32Array.of(5, 6, 7) });
  });

  test('are checked against the rows of the embedding, through a cast too', () => {
    const lookup = 'w: float32[7, 4] = random(seed=1)\nids = Cast(input_ids, to=6)\ny = Gather(w, ids)';
    const binding = bindingFor('input_ids: int64[1, n]', lookup);
    expect(binding.vocabulary).toBe(7);
    expect(() => bindSample(window, binding, 'sample 4 of text:a')).toThrow(
      expect.objectContaining({
        code: 'data',
        message: expect.stringMatching(/sample 4 of text:a.*7 at position 2.*7/),
      }),
    );
  });

  test('name inputs that nothing is known about, fixed lengths that differ, and models without ids', () => {
    const unknown = bindingFor('input_ids: int64[1, n], memory: float32[1, n, 4]', 'y = Neg(memory)');
    expect(() => bindSample(window, unknown, 'sample 0')).toThrow(/memory: float32 \[1, n, 4\]/);
    const fixed = bindingFor('input_ids: int64[1, 8]', 'y = Neg(input_ids)');
    expect(() => bindSample(window, fixed, 'sample 0')).toThrow(expect.objectContaining({ code: 'mismatch' }));
    const images = bindingFor('x: float32[1, 3]', 'y = Neg(x)');
    expect(() => bindSample(window, images, 'sample 0')).toThrow(/takes no token ids/);
  });
});

describe('feeds of arrays', () => {
  test('go by name, or without a name to the only input, in the type of the model', () => {
    const two = bindingFor('a: float32[1, 2], b: int64[1]', 'y = Neg(a)');
    const a = floatArray([1, 2], Float32Array.of(1, 2));
    const feeds = bindSample(
      {
        kind: 'arrays',
        arrays: new Map([
          ['a', a],
          ['b', arrayOfNumbers('int32', [1], [3])],
        ]),
      },
      two,
      's',
    );
    expect(feeds.get('a')).toBe(a);
    expect(feeds.get('b')).toEqual({ dtype: 'int64', shape: [1], data: BigInt64Array.of(3n) });
    const half = bindingFor('x: float16[1, 2]', 'y = Neg(x)');
    const fed = bindSample({ kind: 'arrays', arrays: new Map([['', a]]) }, half, 's').get('x')!;
    expect(fed.dtype).toBe('float16');
    expect(floatsOfArray(fed)).toEqual(Float32Array.of(1, 2));
  });

  test('that are missing are named', () => {
    const two = bindingFor('a: float32[1, 2], b: float32[1]', 'y = Neg(a)');
    const arrays = new Map([['', floatArray([1, 2], new Float32Array(2))]]);
    expect(() => bindSample({ kind: 'arrays', arrays }, two, 'sample 9')).toThrow(
      /sample 9: there is nothing for the input a/,
    );
  });
});

describe('arrays', () => {
  test('become integers by rounding to the nearest', () => {
    const pixels = floatArray([4], Float32Array.of(0.4, 0.6, 254.5, 12));
    expect(castArray(pixels, 'uint8').data).toEqual(Uint8Array.of(0, 1, 255, 12));
  });
});
