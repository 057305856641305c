import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSiteMatrix } from '../../src/analysis/site-weights.ts';
import { findSites } from '../../src/analysis/sites.ts';
import { openModel } from '../../src/artifact/open.ts';
import type { Dataset } from '../../src/calibration/dataset.ts';
import { lossScale } from '../../src/curvature/moments.ts';
import { predictLoss } from '../../src/curvature/predict.ts';
import { rankCorrelation } from '../../src/curvature/rank-correlation.ts';
import { curvatureOf } from '../../src/curvature/store.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { dequantize, quantizeRtn } from '../../src/kernels/index.ts';
import { memoryStore } from '../../src/stages/memory-store.ts';
import { sharedData } from '../shared.ts';

interface SiteReference {
  readonly trace_A: number;
  readonly trace_B_by_seed: readonly number[];
  readonly predicted_kl_rtn4_per_row: number;
  readonly measured_kl_rtn4_per_row: number;
}

const trace = (diagonal: Float64Array, count: number): number =>
  diagonal.reduce((sum, value) => sum + value, 0) / count;

/** Windows of the training stream as the reference names them: BOS and window - 1 tokens. */
const windowsOf = (folder: string, indices: readonly number[], window: number): Dataset => {
  const tokens = new Uint16Array(
    new Uint8Array(readFileSync(join(folder, 'eval/tinystories-train-sample.u16'))).buffer,
  );
  return {
    description: 'reference windows',
    length: indices.length,
    fingerprint: indices.join(','),
    sample: (index) => {
      const start = indices[index]! * (window - 1);
      const ids = Int32Array.from([1, ...tokens.subarray(start, start + window - 1)]);
      return Promise.resolve({ kind: 'tokens', ids, scored: new Uint8Array(ids.length).fill(1) });
    },
  };
};

describe.each([
  ['llm-stories260k', 512, 0.94],
  ['llm-babyllama-tok105', 256, 0.97],
] as const)('the curvature of %s', (name, window, correlation) => {
  const folder = sharedData(name);
  it.skipIf(!folder)(
    'equals an independent reference and predicts the measured KL of rounding each site (needs ../shared/data)',
    async () => {
      const reference = JSON.parse(readFileSync(join(folder!, 'eval/curvature-reference.json'), 'utf8'));
      const facts = reference.sites as Record<string, SiteReference>;
      const { program } = await openModel(folder!);
      const curvature = await curvatureOf({
        program,
        dataset: windowsOf(folder!, reference.windows, window),
        context: {
          engine: onnxruntimeEngine,
          seed: 1,
          maxMemoryBytes: 2 ** 30,
          scratch: { directory: tmpdir() },
          shared: memoryStore(),
          emit: () => {},
          signal: new AbortController().signal,
        },
      });
      const predicted: number[] = [];
      const measured: number[] = [];
      let bias = 0;
      for (const site of findSites(program)) {
        const wanted = facts[site.name];
        const found = curvature.sites.get(site.name);
        if (!wanted || !found) continue;
        const { positions, inputs, gradients } = found;
        expect(trace(inputs[0]!.diagonal(), positions) / wanted.trace_A).toBeCloseTo(1, 4);
        const seeds = wanted.trace_B_by_seed;
        const [low, high] = [Math.min(...seeds), Math.max(...seeds)];
        const spread = Math.max(3 * (high - low), 0.05 * high);
        const traceB = trace(gradients!.diagonal(), positions);
        expect(traceB, site.name).toBeGreaterThan(low - spread);
        expect(traceB, site.name).toBeLessThan(high + spread);
        bias += Math.log(traceB / (seeds.reduce((sum, value) => sum + value, 0) / seeds.length));
        const weight = readSiteMatrix(site);
        const { rows, columns } = site;
        const grid = { bits: 4, groupSize: columns, scheme: 'asymmetric' } as const;
        const rounded = await quantizeRtn({ weight, rows, columns, ...grid });
        const back = dequantize({ ...rounded, rows, columns, groupSize: columns, bits: 4 });
        const loss = await predictLoss(
          found,
          back.map((value, index) => value - weight[index]!),
        );
        // The reference has no trace of the Fisher information: its prediction is the bare product of the factors.
        const bare = (loss! * 0.5) / lossScale(found);
        expect(Math.abs(Math.log(bare / wanted.predicted_kl_rtn4_per_row)), `${site.name}: ${loss}`).toBeLessThan(0.15);
        predicted.push(loss!);
        measured.push(wanted.measured_kl_rtn4_per_row);
      }
      expect(Math.abs(bias / predicted.length), 'no tendency of tr B over all sites').toBeLessThan(0.02);
      expect(predicted.length).toBe(Object.keys(facts).length);
      expect(rankCorrelation(predicted, measured)).toBeGreaterThanOrEqual(correlation);
      const sum = (numbers: readonly number[]): number => numbers.reduce((total, value) => total + value, 0);
      expect(Math.abs(Math.log(sum(predicted) / sum(measured)))).toBeLessThan(0.35);
    },
  );
});
