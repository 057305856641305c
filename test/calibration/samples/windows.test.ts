import { describe, expect, test } from 'vitest';
import { placeWindows, splitStream, windowSample } from '../../../src/calibration/samples/windows.ts';
import { Random } from '../../../src/random.ts';

const plain = { window: 8, stride: undefined, prefix: [], suffix: [] };

describe('windows of tokens', () => {
  test('a stream without a prefix scores all tokens of a window but the first', () => {
    const stream = Int32Array.from({ length: 20 }, (_, index) => index);
    const samples = placeWindows([20], plain).map((place) => windowSample(stream, place, plain));
    expect(samples.map((sample) => sample.kind === 'tokens' && [...sample.ids])).toEqual([
      [0, 1, 2, 3, 4, 5, 6, 7],
      [8, 9, 10, 11, 12, 13, 14, 15],
      [16, 17, 18, 19],
    ]);
    expect(samples.map((sample) => sample.kind === 'tokens' && [...sample.scored])).toEqual([
      [0, 1, 1, 1, 1, 1, 1, 1],
      [0, 1, 1, 1, 1, 1, 1, 1],
      [0, 1, 1, 1],
    ]);
  });

  test('with a prefix every token of the data is scored, and a lone last token makes a window', () => {
    const options = { ...plain, prefix: [99] };
    const stream = Int32Array.from({ length: 15 }, (_, index) => index);
    const places = placeWindows([15], options);
    const samples = places.map((place) => windowSample(stream, place, options));
    expect(samples.map((sample) => sample.kind === 'tokens' && sample.ids[0])).toEqual([99, 99, 99]);
    const scored = samples.flatMap((sample) =>
      sample.kind === 'tokens' ? [...sample.ids].filter((_, index) => sample.scored[index]) : [],
    );
    expect(scored).toEqual([...stream]);
  });

  test('special tokens behind a window are fed and not scored', () => {
    const options = { ...plain, prefix: [1], suffix: [2] };
    const sample = windowSample(Int32Array.of(5, 6), placeWindows([2], options)[0]!, options);
    expect(sample).toEqual({ kind: 'tokens', ids: Int32Array.of(1, 5, 6, 2), scored: Uint8Array.of(0, 1, 1, 0) });
  });

  test.each([1, 2, 3, 5, 7])(
    'with a stride of %i every token is scored exactly once, with as much context as fits',
    (stride) => {
      const random = new Random(stride, 'strides');
      for (const prefix of [[], [99]])
        for (let trial = 0; trial < 20; trial++) {
          const options = { window: 8, stride, prefix, suffix: [] };
          const length = 2 + random.integer(40);
          const stream = Int32Array.from({ length }, (_, index) => index);
          const places = placeWindows([length], options);
          const scored = places.flatMap((place) => {
            const sample = windowSample(stream, place, options);
            if (sample.kind !== 'tokens') return [];
            expect(sample.ids.length).toBeLessThanOrEqual(8);
            return [...sample.ids].filter((_, index) => sample.scored[index]);
          });
          expect(scored).toEqual([...stream].slice(prefix.length === 0 ? 1 : 0));
          if (stride < 8 - prefix.length)
            for (const place of places.slice(1)) expect(place.end - place.begin).toBe(8 - prefix.length);
        }
    },
  );

  test('windows never cross a separator, and separators and empty documents are dropped', () => {
    const documents = splitStream(Int32Array.of(1, 5, 6, 1, 1, 7, 8, 9, 1), 1);
    expect(documents.map((document) => [...document])).toEqual([
      [5, 6],
      [7, 8, 9],
    ]);
  });
});
