import { describe, expect, test } from 'vitest';
import { Random } from '../../../../src/random.ts';
import { channelView, decodeWeight, encodeWeight } from '../../../../src/stages/quantize/activations/weight-codes.ts';

const weights = new Random(3).normals(4 * 6 * 5, 0.3);
const shape = [4, 6, 5];

describe.each([0, 1, 2])('weights with their channels along axis %i', (axis) => {
  const view = channelView(shape, axis);
  const coded = encodeWeight({ weights, view, limit: 127, granularity: 'channel', name: 'w' });
  const decoded = decodeWeight(coded, view);
  const channelAt = (index: number): number => Math.floor(index / view.inner) % view.channels;

  test('have one scale per channel and come back within half a step of it', () => {
    expect(coded.scales).toHaveLength(shape[axis]!);
    decoded.forEach((value, index) => {
      expect(Math.abs(value - weights[index]!)).toBeLessThanOrEqual(coded.scales[channelAt(index)]! * 0.50001);
    });
  });

  test('reach ±127 in every channel', () => {
    const largest = new Int32Array(view.channels);
    coded.codes.forEach((code, index) => {
      const channel = channelAt(index);
      largest[channel] = Math.max(largest[channel]!, Math.abs(code));
    });
    expect([...largest]).toEqual(Array(view.channels).fill(127));
  });

  test('that lie on the grid come back exactly', () => {
    const again = encodeWeight({ weights: decoded, view, limit: 127, granularity: 'channel', name: 'w' });
    expect([...decodeWeight(again, view)]).toEqual([...decoded]);
  });
});

test('one scale for a whole weight is the largest channel scale', () => {
  const view = channelView(shape, 0);
  const whole = encodeWeight({ weights, view, limit: 127, granularity: 'tensor', name: 'w' });
  const channels = encodeWeight({ weights, view, limit: 127, granularity: 'channel', name: 'w' });
  expect([...whole.scales]).toEqual([Math.max(...channels.scales)]);
});

test('seven bits stay within ±63', () => {
  const { codes } = encodeWeight({
    weights,
    view: channelView(shape, 0),
    limit: 63,
    granularity: 'channel',
    name: 'w',
  });
  expect(Math.max(...codes.map(Math.abs))).toBe(63);
});

test('a channel of zeros gets its floor, or the scale 1', () => {
  const view = channelView([2, 2], 0);
  const zeros = Float32Array.of(0, 0, 1, -1);
  const problem = { weights: zeros, view, limit: 127, granularity: 'channel', name: 'w' } as const;
  expect(encodeWeight(problem).scales[0]).toBe(1);
  expect(encodeWeight({ ...problem, floors: Float32Array.of(0.25, 0) }).scales[0]).toBe(0.25);
});

test('halves round to even codes', () => {
  const view = channelView([1, 4], 0);
  const { codes } = encodeWeight({
    weights: Float32Array.of(127, 0.5, 1.5, -2.5),
    view,
    limit: 127,
    granularity: 'channel',
    name: 'w',
  });
  expect([...codes]).toEqual([127, 0, 2, -2]);
});

test('NaN is refused with the tensor and the element', () => {
  const broken = Float32Array.of(1, 2, Number.NaN);
  const encode = () =>
    encodeWeight({
      weights: broken,
      view: channelView([3], 0),
      limit: 127,
      granularity: 'tensor',
      name: 'conv.weight',
    });
  expect(encode).toThrow(expect.objectContaining({ code: 'numeric', where: { tensor: 'conv.weight' } }));
  expect(encode).toThrow(/weight 2 is NaN/);
});
