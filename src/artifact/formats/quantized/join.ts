import { PackedTensor } from '../../../ir/packed-tensor.ts';
import type { Tensor } from '../../../ir/tensor.ts';

const concatenate = <T extends Uint8Array | Float32Array>(parts: readonly T[], empty: (length: number) => T): T => {
  const made = empty(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
};

/**
 * Packed matrices [rows, columns], one below the other, as one; undefined where they are not packed alike. Where only
 * some have zero points, the others get the ones that they imply.
 */
export const joinPacked = (tensors: readonly Tensor[]): PackedTensor | undefined => {
  const packed = tensors.filter((tensor) => tensor instanceof PackedTensor);
  const first = packed[0]?.facts;
  if (!first || packed.length !== tensors.length) return undefined;
  const alike = packed.every(
    ({ facts }) =>
      facts.layout === 'rows-first' &&
      facts.bits === first.bits &&
      facts.columns === first.columns &&
      facts.groupSize === first.groupSize,
  );
  if (!alike) return undefined;
  const rows = packed.reduce((sum, { facts }) => sum + facts.rows, 0);
  const { dtype, layout, columns, bits, storedBits, groupSize, method } = first;
  return PackedTensor.deferred(
    { dtype, layout, columns, bits, storedBits, groupSize, method, rows, shape: [rows, columns] },
    {
      codes: () =>
        concatenate(
          packed.map(({ facts }) => facts.codes),
          (length) => new Uint8Array(length),
        ),
      scales: () =>
        concatenate(
          packed.map(({ facts }) => facts.scales),
          (length) => new Float32Array(length),
        ),
      zeroPoints: () => {
        const zeros = packed.map(({ facts }) => facts.zeroPoints);
        if (zeros.every((zero) => zero === null)) return null;
        const implied = (count: number): Uint8Array => new Uint8Array(count).fill(2 ** (bits - 1));
        return concatenate(
          packed.map(({ facts, groups }, index) => zeros[index] ?? implied(facts.rows * groups)),
          (length) => new Uint8Array(length),
        );
      },
    },
  );
};
