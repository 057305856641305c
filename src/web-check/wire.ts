import type { NumericArray } from '../calibration/dataset.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import type { Feeds } from '../execution/session.ts';
import type { WireArray } from './probe.ts';

const bytesOf = ({ data }: NumericArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Inputs as they are sent to another process. */
export const wireFeeds = (feeds: Feeds): Record<string, WireArray> =>
  Object.fromEntries(
    [...feeds].map(([name, array]) => [
      name,
      { dtype: array.dtype, shape: array.shape, base64: Buffer.from(bytesOf(array)).toString('base64') },
    ]),
  );

/** A float output that came back; undefined for other types. */
export const floatsOfWire = ({ dtype, shape, base64 }: WireArray): Float32Array | undefined => {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  if (dtype === 'float32') return new Float32Array(bytes.buffer);
  if (dtype === 'float16') return floatsOfArray({ dtype: 'float16', shape, data: new Uint16Array(bytes.buffer) });
  return undefined;
};

/** Greatest difference as a share of the greatest value expected; 0 for equal arrays. */
export const relativeDifference = (expected: Float32Array, found: Float32Array): number => {
  if (expected.length !== found.length) return Number.POSITIVE_INFINITY;
  let [difference, scale] = [0, 0];
  for (let index = 0; index < expected.length; index++) {
    const [a, b] = [expected[index]!, found[index]!];
    if (Number.isNaN(b) !== Number.isNaN(a)) return Number.POSITIVE_INFINITY;
    if (Number.isFinite(a - b)) difference = Math.max(difference, Math.abs(a - b));
    if (Number.isFinite(a)) scale = Math.max(scale, Math.abs(a));
  }
  return difference === 0 ? 0 : difference / Math.max(scale, Number.MIN_VALUE);
};
