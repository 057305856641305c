import type { Dataset, NumericArray } from '../../../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../../../src/execution/onnxruntime.ts';
import type { Program } from '../../../../src/ir/graph.ts';
import type { Model } from '../../../../src/ir/model.ts';
import type { RunEvent } from '../../../../src/recipe/events.ts';
import { memoryStore } from '../../../../src/stages/memory-store.ts';
import {
  type DynamicOptions,
  normaliseActivations,
  type StaticOptions,
} from '../../../../src/stages/quantize/activations/options.ts';
import type { StageContext } from '../../../../src/stages/stage.ts';
import { largestDifference, normalArray, runProgram } from '../../../artifact/lower/run.ts';

/** A model that is nothing but its program. */
export const modelOf = (program: Program): Model => ({
  program,
  family: undefined,
  config: undefined,
  companions: [],
  origin: 'test',
});

/** Named arrays as a dataset. */
export const datasetOf = (samples: readonly Readonly<Record<string, NumericArray>>[]): Dataset => ({
  description: 'test data',
  length: samples.length,
  fingerprint: 'test',
  sample: async (index) => ({ kind: 'arrays', arrays: new Map(Object.entries(samples[index]!)) }),
});

/** `count` seeded normal samples of one input. */
export const normalSamples = (name: string, shape: readonly number[], count = 8): Record<string, NumericArray>[] =>
  Array.from({ length: count }, (_, index) => ({ [name]: normalArray(shape, index + 1) }));

/** What a stage is given in tests; events end up in `events`. */
export const contextOf = (calibration: Dataset | undefined, events: RunEvent[] = []): StageContext => ({
  calibration,
  engine: onnxruntimeEngine,
  maxMemoryBytes: 2 ** 28,
  threads: 1,
  seed: 0,
  checkpoints: { get: () => undefined, put: () => undefined },
  shared: memoryStore(),
  scratch: { directory: '.' },
  emit: (event) => events.push(event),
  signal: new AbortController().signal,
});

const everySite = { targets: ['*'], ignore: [], method: 'rtn' } as const;

/** Default options of static quantization with changes. */
export const staticOptions = (changes: Partial<StaticOptions> = {}): StaticOptions => {
  const { mode, ...settings } = normaliseActivations('static') as { mode: 'static' } & Omit<
    StaticOptions,
    'targets' | 'ignore' | 'method'
  >;
  return { ...settings, ...everySite, ...changes };
};

/** Default options of dynamic quantization with changes. */
export const dynamicOptions = (changes: Partial<DynamicOptions> = {}): DynamicOptions => {
  const { mode, ...settings } = normaliseActivations('dynamic') as { mode: 'dynamic' } & Omit<
    DynamicOptions,
    'targets' | 'ignore' | 'method'
  >;
  return { ...settings, ...everySite, ...changes };
};

/** Largest magnitude among all outputs. */
export const scaleOf = (outputs: ReadonlyMap<string, NumericArray>): number =>
  Math.max(
    ...[...outputs.values()].flatMap(({ data }) => Array.from(data as Float32Array, (value) => Math.abs(value))),
  );

/**
 * Largest output difference of two programs on one feed, relative to the first one's largest output. The second runs
 * as its operators say, without fusion: kernels for signed 8-bit weights saturate on some processors.
 */
export const relativeDifference = async (
  before: Program,
  after: Program,
  feeds: Readonly<Record<string, NumericArray>>,
): Promise<number> => {
  const expected = await runProgram(before, feeds);
  return largestDifference(expected, await runProgram(after, feeds, { optimization: 'none' })) / scaleOf(expected);
};
