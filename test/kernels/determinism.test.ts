import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CrossGram,
  choleskyInverse,
  difference,
  eigenSymmetric,
  GramAccumulator,
  gptq,
  hashBytes,
  matmul,
  quantizeRtn,
  setThreads,
  softmaxMetrics,
  svd,
  threadCount,
} from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { correlatedSamples } from './matrices.ts';

const n = 330;
const rows = 1400;
const samples = correlatedSamples(rows, n, 1);
const weight = new Random(2, 'weights').normals(200 * n);
const grid = { bits: 3, groupSize: 64, scheme: 'asymmetric' } as const;

const bytesOf = (array: Float32Array | Float64Array | Uint8Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Hashes of the results of all kernels whose sums could depend on the number of threads. */
const fingerprints = async (): Promise<Record<string, string>> => {
  const gram = new GramAccumulator(n);
  await gram.add(samples, rows);
  const exact = new GramAccumulator(n);
  await exact.add(samples, rows, { exact: true });
  const cross = new CrossGram(n, n);
  await cross.add(samples, samples, rows);
  const hessian = gram.matrix();
  const matrix = { weight, rows: 200, columns: n };
  const solved = await gptq({ ...matrix, ...grid, hessian, actOrder: true });
  const product = await matmul({ a: samples, b: samples, rows: n, inner: rows, columns: n, transposeA: true });
  const labels = new Int32Array(rows);
  const found = {
    gram: gram.matrix(),
    exactGram: exact.matrix(),
    mean: gram.mean(),
    cross: cross.matrix(),
    product,
    inverse: await choleskyInverse(hessian, n),
    eigen: (await eigenSymmetric(hessian, n)).vectors,
    svd: (await svd(Float64Array.from(weight), 200, n)).vt,
    gptq: solved.codes,
    rtn: (await quantizeRtn({ ...matrix, ...grid, clip: { grid: 20, maxShrink: 0.5, norm: 2.4 } })).codes,
    softmax: (await softmaxMetrics({ logits: samples, labels, reference: samples })).nll,
  };
  const hashes = Object.entries(found).map(([name, array]) => [name, hashBytes(bytesOf(array))]);
  const sums = difference(samples, samples.map(Math.sin));
  return {
    ...Object.fromEntries(hashes),
    loss: String(solved.losses.reduce((sum, loss) => sum + loss, 0)),
    sums: JSON.stringify(sums),
  };
};

describe('results', () => {
  const before = threadCount();
  let expected: Record<string, string>;
  beforeAll(async () => {
    setThreads(1);
    expected = await fingerprints();
  });
  afterAll(() => setThreads(before));

  it.each([1, 2, 3])('are the same bits with %i threads as with one', async (threads) => {
    setThreads(threads);
    expect(await fingerprints()).toEqual(expected);
  });
});
