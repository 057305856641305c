/** Scales and zero points of blocks, (rows, blocks). */
export interface BlockGrid {
  readonly scales: Float32Array;
  readonly zeroPoints: Uint8Array | null;
}

/** Whether, in every row, each run of `run` blocks repeats one scale and zero point. */
const repeats = ({ scales, zeroPoints }: BlockGrid, blocks: number, run: number): boolean => {
  for (let start = 0; start < scales.length; start += blocks)
    for (let block = 0; block < blocks; block++) {
      const first = start + block - (block % run);
      const at = start + block;
      if (scales[at] !== scales[first] || (zeroPoints && zeroPoints[at] !== zeroPoints[first])) return false;
    }
  return true;
};

/**
 * The most blocks that share their scale and zero point in every row: a power of two, or all of them. Wider groups
 * than an operator's blocks are written by repeating; this finds them again.
 */
export const sharedRun = (grid: BlockGrid, blocks: number): number => {
  if (blocks > 1 && repeats(grid, blocks, blocks)) return blocks;
  let run = 1;
  while (run * 2 < blocks && repeats(grid, blocks, run * 2)) run *= 2;
  return run;
};

/** One value for each run of blocks. */
export const everyRun = <T extends Float32Array | Uint8Array>(values: T, blocks: number, run: number): T =>
  values.filter((_, index) => (index % blocks) % run === 0) as T;
