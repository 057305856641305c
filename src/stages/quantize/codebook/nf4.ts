/**
 * NormalFloat with 4 bits (Dettmers et al. 2023, QLoRA, section 3 and appendix E): quantiles of the normal
 * distribution, scaled to -1 … 1 so that 0 is an entry.
 */
export const nf4Table = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** Halfway between neighbouring entries. */
const borders = Float32Array.from(
  { length: nf4Table.length - 1 },
  (_, index) => (nf4Table[index]! + nf4Table[index + 1]!) / 2,
);

const nearest = (value: number): number => {
  let low = 0;
  let high = borders.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value > borders[middle]!) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** Rounds a matrix to the nearest entries, each block of neighbouring elements scaled by its largest magnitude. */
export const roundToNf4 = (
  matrix: Float32Array,
  blockSize: number,
): { readonly codes: Uint8Array; readonly scales: Float32Array } => {
  const scales = new Float32Array(Math.ceil(matrix.length / blockSize));
  for (const [index, value] of matrix.entries()) {
    const block = Math.floor(index / blockSize);
    scales[block] = Math.max(scales[block]!, Math.abs(value));
  }
  const codes = Uint8Array.from(matrix, (value, index) => {
    const scale = scales[Math.floor(index / blockSize)]!;
    return nearest(scale === 0 ? 0 : value / scale);
  });
  return { codes, scales };
};
