import { expect, it } from 'vitest';
import { intTensor } from '../../src/ir/read.ts';

it('the end of everything, 2^63 - 1, stays the greatest integer although no double is equal to it', () => {
  const bytes = intTensor([2], [2 ** 63, -(2 ** 63)]).bytes();
  const words = new BigInt64Array(bytes.buffer, bytes.byteOffset, 2);
  expect([...words]).toEqual([2n ** 63n - 1n, -(2n ** 63n)]);
});
