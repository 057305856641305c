import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { memoryStore } from '../src/stages/memory-store.ts';
import type { StageContext } from '../src/stages/stage.ts';

/** What benchmarks give a stage: two threads, a gibibyte, nothing kept from run to run, whatever `changes` do not say. */
export const benchContext = (scratch: string, changes: Partial<StageContext> = {}): StageContext => ({
  calibration: undefined,
  engine: onnxruntimeEngine,
  maxMemoryBytes: 1 << 30,
  threads: 2,
  seed: 0,
  checkpoints: memoryStore(),
  shared: memoryStore(),
  scratch: { directory: scratch },
  emit: () => undefined,
  signal: new AbortController().signal,
  ...changes,
});
