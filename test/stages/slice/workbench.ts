import { tmpdir } from 'node:os';
import { openModel } from '../../../src/artifact/open.ts';
import type { Dataset } from '../../../src/calibration/dataset.ts';
import { openDataset } from '../../../src/calibration/samples/table.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { inputSignature } from '../../../src/execution/signature.ts';
import type { Model } from '../../../src/ir/model.ts';
import { evaluate } from '../../../src/metrics/evaluate.ts';
import type { RunEvent } from '../../../src/recipe/events.ts';
import { memoryStore } from '../../../src/stages/memory-store.ts';
import { sliceStage } from '../../../src/stages/slice/index.ts';
import type { StageContext, StageResult } from '../../../src/stages/stage.ts';
import { fixture } from '../../recipe/tiny-run.ts';

export const tinyLlama = (): Promise<Model> => openModel(fixture('tiny-llama'));
export const tinyCnn = (): Promise<Model> => openModel(fixture('tiny-cnn', 'model.onnx'));

/** Windows of the language fixture. */
export const tinyText = (model: Model, file: 'calibration' | 'evaluation', samples = 24): Promise<Dataset> =>
  openDataset(
    { text: fixture('tiny-llama', `${file}.txt`), window: 32, samples },
    {
      baseDirectory: '.',
      seed: 0,
      modelInputs: inputSignature(model.program),
      tokenizerPath: fixture('tiny-llama', 'tokenizer.json'),
    },
  );

/** Pictures of the vision fixture. */
export const tinyPictures = (model: Model, file: 'calibration' | 'evaluation', samples?: number): Promise<Dataset> =>
  openDataset(
    { arrays: fixture('tiny-cnn', `${file}.npz`), ...(samples === undefined ? {} : { samples }) },
    { baseDirectory: '.', seed: 0, modelInputs: inputSignature(model.program) },
  );

/** What the stage is given in tests. */
export const contextFor = (
  calibration: Dataset | undefined,
  changes: Partial<StageContext> & { readonly events?: RunEvent[] } = {},
): StageContext => {
  const { events = [], ...rest } = changes;
  return {
    calibration,
    engine: onnxruntimeEngine,
    maxMemoryBytes: 2 ** 30,
    threads: 1,
    seed: 0,
    checkpoints: memoryStore(),
    shared: memoryStore(),
    scratch: { directory: tmpdir() },
    emit: (event) => events.push(event),
    signal: new AbortController().signal,
    ...rest,
  };
};

/** Runs the stage with options as a recipe writes them. */
export const slice = async (model: Model, written: unknown, context: StageContext): Promise<StageResult> =>
  sliceStage.run(model, sliceStage.options.parse(written), context);

/** One metric of a model, against a reference where it needs one. */
export const measured = async (metric: string, model: Model, reference: Model, dataset: Dataset): Promise<number> => {
  const [result] = await evaluate({
    program: model.program,
    reference: reference.program,
    dataset,
    metrics: [metric],
    engine: onnxruntimeEngine,
    emit: () => undefined,
  });
  return result!.value;
};
