import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { Dataset } from '../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { elementCount } from '../../src/ir/shape.ts';
import { Random } from '../../src/random.ts';
import { memoryStore } from '../../src/stages/memory-store.ts';
import type { StageContext } from '../../src/stages/stage.ts';

/** A folder that goes when the tests of a file have ended. */
export const scratchFolder = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'modelpress-curvature-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};

/** Seeded normal samples of a model's only input. */
export const normalSamples = (shape: readonly number[], length = 3, name = 'normal'): Dataset => ({
  description: name,
  length,
  fingerprint: `${name} ${shape.join()} ${length}`,
  sample: async (index) => {
    const data = Float32Array.from(new Random(index, name).normals(elementCount(shape)));
    return { kind: 'arrays', arrays: new Map([['', { dtype: 'float32', shape, data }]]) };
  },
});

/** What a stage is given in tests, with a count of the sessions that were opened. */
export const contextIn = (
  directory: string,
  changes: Partial<StageContext> & { readonly kept?: Map<string, Uint8Array> } = {},
): StageContext & { sessions(): number } => {
  let sessions = 0;
  const { kept, ...rest } = changes;
  return {
    calibration: undefined,
    engine: {
      ...onnxruntimeEngine,
      open: (...given) => {
        sessions++;
        return onnxruntimeEngine.open(...given);
      },
    },
    seed: 1,
    threads: 1,
    scratch: { directory },
    checkpoints: memoryStore(),
    shared: memoryStore(kept),
    maxMemoryBytes: 2 ** 30,
    emit: () => {},
    signal: new AbortController().signal,
    sessions: () => sessions,
    ...rest,
  };
};
