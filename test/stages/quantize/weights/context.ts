import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Dataset, NumericArray, Sample } from '../../../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../../../src/execution/onnxruntime.ts';
import type { Program } from '../../../../src/ir/graph.ts';
import type { Model } from '../../../../src/ir/model.ts';
import { PackedTensor } from '../../../../src/ir/packed-tensor.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { constantOf, graphsWithin } from '../../../../src/ir/walk.ts';
import { Random } from '../../../../src/random.ts';
import type { RunEvent } from '../../../../src/recipe/events.ts';
import { memoryStore } from '../../../../src/stages/memory-store.ts';
import { quantizeStage } from '../../../../src/stages/quantize/index.ts';
import type { CheckpointStore, StageContext, StageResult } from '../../../../src/stages/stage.ts';

export const modelOf = (program: Program | string): Model => ({
  program: typeof program === 'string' ? parseProgram(program) : program,
  family: undefined,
  config: undefined,
  companions: [],
  origin: 'test',
});

/** Checkpoints in memory. */
export const memoryCheckpoints = (kept = new Map<string, Uint8Array>()): CheckpointStore => ({
  get: (key) => kept.get(key),
  put: (key, bytes) => {
    kept.set(key, bytes);
  },
});

/** Seeded inputs whose columns are correlated: a few directions carry most of the energy. */
export const correlatedInputs = (shape: readonly number[], samples: number, seed = 1): Dataset => {
  const width = shape.at(-1)!;
  const mixing = new Random(seed, 'mixing').normals(width * width);
  const sample = (index: number): Promise<Sample> => {
    const random = new Random(seed, `sample ${index}`);
    const rows = shape.slice(0, -1).reduce((product, dim) => product * dim, 1);
    const data = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++)
      for (let direction = 0; direction < width; direction++) {
        const strength = random.normal() / (1 + direction);
        for (let column = 0; column < width; column++)
          data[row * width + column]! += strength * mixing[direction * width + column]!;
      }
    const array: NumericArray = { dtype: 'float32', shape, data };
    return Promise.resolve({ kind: 'arrays', arrays: new Map([['', array]]) });
  };
  return { description: 'correlated', length: samples, fingerprint: `${seed}:${samples}`, sample };
};

export interface Run extends StageResult {
  readonly events: readonly RunEvent[];
}

/** Runs the stage on recipe options. */
export const quantize = async (model: Model, options: unknown, given: Partial<StageContext> = {}): Promise<Run> => {
  const events: RunEvent[] = [];
  const scratch = mkdtempSync(join(tmpdir(), 'modelpress-test-'));
  try {
    const result = await quantizeStage.run(model, quantizeStage.options.parse(options), {
      calibration: undefined,
      engine: onnxruntimeEngine,
      maxMemoryBytes: 2 ** 28,
      threads: 1,
      seed: 0,
      checkpoints: memoryCheckpoints(),
      shared: memoryStore(),
      scratch: { directory: scratch },
      emit: (event) => events.push(event),
      signal: new AbortController().signal,
      ...given,
    });
    return { ...result, events };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
};

/** Packed constants by name, in bodies too. */
export const packedOf = (model: Model): Map<string, PackedTensor> => {
  const found = new Map<string, PackedTensor>();
  for (const graph of graphsWithin(model.program.graph))
    for (const value of [...graph.initializers, ...graph.nodes.flatMap((node) => [...node.outputs])]) {
      const tensor = constantOf(value);
      if (value && tensor instanceof PackedTensor) found.set(value.name, tensor);
    }
  return found;
};
