import { tmpdir } from 'node:os';
import { openModel } from '../../../src/artifact/open.ts';
import type { Dataset } from '../../../src/calibration/dataset.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { inputSignature } from '../../../src/execution/signature.ts';
import type { Model } from '../../../src/ir/model.ts';
import { evaluate } from '../../../src/metrics/evaluate.ts';
import type { RunEvent } from '../../../src/recipe/events.ts';
import { distillStage } from '../../../src/stages/distill/index.ts';
import { memoryStore } from '../../../src/stages/memory-store.ts';
import type { StageContext, StageResult } from '../../../src/stages/stage.ts';
import { fixture } from '../../recipe/tiny-run.ts';

export const tinyLlama = (): Promise<Model> => openModel(fixture('tiny-llama'));

/** Windows of the language fixture. */
export const tinyText = async (model: Model, file: 'calibration' | 'evaluation', samples = 24): Promise<Dataset> =>
  openDataset(
    { text: fixture('tiny-llama', `${file}.txt`), window: 32, samples },
    {
      baseDirectory: '.',
      seed: 0,
      modelInputs: inputSignature(model.program),
      tokenizerPath: fixture('tiny-llama', 'tokenizer.json'),
    },
  );

/** What the stage is given in tests. */
export const contextFor = (
  original: Model,
  calibration: Dataset,
  changes: Partial<StageContext> & { readonly events?: RunEvent[] } = {},
): StageContext => {
  const { events = [], ...rest } = changes;
  return {
    calibration,
    models: { original, open: openModel },
    engine: onnxruntimeEngine,
    maxMemoryBytes: 2 ** 30,
    threads: 1,
    seed: 0,
    checkpoints: { get: () => undefined, put: () => undefined },
    shared: memoryStore(),
    scratch: { directory: tmpdir() },
    emit: (event) => events.push(event),
    signal: new AbortController().signal,
    ...rest,
  };
};

/** Runs the stage with options as a recipe writes them. */
export const distil = async (model: Model, written: unknown, context: StageContext): Promise<StageResult> =>
  distillStage.run(model, distillStage.options.parse(written), context);

/** KL(reference ‖ model) in nats. */
export const klOf = async (model: Model, reference: Model, dataset: Dataset): Promise<number> => {
  const [result] = await evaluate({
    program: model.program,
    reference: reference.program,
    dataset,
    metrics: ['kl'],
    engine: onnxruntimeEngine,
    emit: () => {},
  });
  return result!.value;
};
