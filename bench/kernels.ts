import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  cholesky,
  GramAccumulator,
  gptq,
  hashFile,
  matmul,
  packRows,
  quantizeRtn,
  softmaxMetrics,
} from '../src/kernels/index.ts';
import { Random } from '../src/random.ts';

/** One measured kernel: `value` in `unit` is the best of the repeats, `seconds` what that one took. */
export interface KernelBenchmark {
  readonly name: string;
  readonly value: number;
  readonly unit: 'GFLOP/s' | 'GB/s';
  readonly seconds: number;
}

const repeats = 5;
const order = 2048;

/** Times `run` after one unmeasured call. `work` is in operations or bytes. */
const measure = async (
  name: string,
  unit: KernelBenchmark['unit'],
  work: number,
  run: () => unknown,
): Promise<KernelBenchmark> => {
  await run();
  let seconds = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat < repeats; repeat++) {
    const begin = performance.now();
    await run();
    seconds = Math.min(seconds, (performance.now() - begin) / 1000);
  }
  return { name, value: work / seconds / 1e9, unit, seconds };
};

const hashBenchmark = async (bytes: Uint8Array): Promise<KernelBenchmark> => {
  const folder = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
  try {
    const path = join(folder, 'bytes');
    writeFileSync(path, bytes);
    return await measure('hash a file of 32 MiB', 'GB/s', bytes.byteLength, () => hashFile(path));
  } finally {
    rmSync(folder, { recursive: true });
  }
};

/**
 * Speeds of the native kernels on this machine with the threads set. Products count 2 operations per multiplication and
 * addition; the Gram matrix counts as the whole product although only a triangle is computed; Cholesky n³/3; GPTQ n³ for
 * the updates and 2 n³/3 for the factor. Bytes are those of the single-precision weight, and of the codes for packing.
 */
export const kernelBenchmarks = async (): Promise<KernelBenchmark[]> => {
  const n = order;
  const random = new Random(1, 'kernel benchmarks');
  const samples = random.normals(2 * n * n);
  const square = samples.subarray(0, n * n);
  const gram = new GramAccumulator(n);
  await gram.add(samples, 2 * n);
  const hessian = gram.matrix();
  const matrix = { weight: square, rows: n, columns: n };
  const grid = { bits: 4, groupSize: 32, scheme: 'symmetric' } as const;
  const wide = { weight: samples.subarray(0, 4096 * n), rows: 4096, columns: n };
  const { codes } = await quantizeRtn({ ...wide, ...grid });
  const wideBytes = wide.weight.byteLength;
  const labels = new Int32Array(n);
  return [
    await measure('product 2048', 'GFLOP/s', 2 * n ** 3, () =>
      matmul({ a: square, b: square, rows: n, inner: n, columns: n }),
    ),
    await measure('gram 2048, 4096 samples', 'GFLOP/s', 4 * n ** 3, () => gram.add(samples, 2 * n)),
    await measure('cholesky 2048', 'GFLOP/s', n ** 3 / 3, () => cholesky(hessian, n)),
    await measure('gptq 2048×2048, 4 bits', 'GFLOP/s', n ** 3 + (2 * n ** 3) / 3, () =>
      gptq({ ...matrix, ...grid, hessian, actOrder: true }),
    ),
    await measure('rtn, 4 bits, groups of 32', 'GB/s', wideBytes, () => quantizeRtn({ ...wide, ...grid })),
    await measure('rtn with clip search over 80 steps', 'GB/s', wideBytes / 8, () =>
      quantizeRtn({
        weight: wide.weight.subarray(0, wide.weight.length / 8),
        rows: 512,
        columns: n,
        ...grid,
        clip: { grid: 100, maxShrink: 0.8, norm: 2 },
      }),
    ),
    await measure('pack 4 bits', 'GB/s', codes.byteLength, () => packRows({ codes, rows: 4096, columns: n, bits: 4 })),
    await measure('softmax metrics with reference', 'GB/s', 2 * square.byteLength, () =>
      softmaxMetrics({ logits: square, labels, reference: square }),
    ),
    await hashBenchmark(new Uint8Array(samples.buffer)),
  ];
};
