import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { openModel } from '../artifact/open.ts';
import { CompressError } from '../errors.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { cloneProgram } from '../ir/clone.ts';
import { programFingerprint } from '../ir/fingerprint.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { scoresOf } from '../stages/distill/teachers.ts';
import type { CaptureFacts } from '../training/capture/format.ts';
import { capture } from '../training/capture/write.ts';
import { logitsOf, widthOf } from '../training/loss-graph.ts';
import { ModelTeacher } from '../training/teacher.ts';
import { readDatasets } from './datasets.ts';
import type { Emit } from './events.ts';
import { joinDatasets } from './joined-dataset.ts';
import { attempt, datasetContext, openDatasets } from './prepare.ts';
import { Problems } from './problems.ts';
import { builtRecipe } from './source.ts';

/** Whose scores are stored, and on what. Paths start at `directory`. */
export interface CaptureRequest {
  readonly model: string;
  /** Datasets as recipes write them, one after the other: the training data of the distillation to come. */
  readonly data: readonly unknown[];
  readonly output: string;
  /** Greatest chances of each row that are kept. */
  readonly top: number;
  readonly temperature: number;
  readonly seed?: number;
  readonly directory?: string;
  readonly emit?: Emit;
  readonly signal?: AbortSignal;
}

const flags = new Map([
  ['model', 'MODEL'],
  ['data', '--data'],
  ['output', '--output'],
]);

/** Samples of a file of captured scores. */
const samplesOfShard = 16;

/**
 * Stores a model's scores on data, so that students can learn from them without the model.
 * @throws CompressErrors with everything that is wrong with the request; as `capture`.
 */
export const captureModel = async (request: CaptureRequest): Promise<CaptureFacts> => {
  const { directory = process.cwd(), seed = 0, emit = () => {} } = request;
  const signal = request.signal ?? new AbortController().signal;
  const problems = new Problems(builtRecipe(request, flags));
  const model = await attempt(problems, ['model'], () => openModel(resolve(directory, request.model)));
  const named = readDatasets(problems, ['data'], request.data);
  const open = model
    ? await openDatasets(problems, named, datasetContext(model, { baseDirectory: directory, seed }))
    : [];
  const dataset = joinDatasets(open.map((one) => one.dataset));
  problems.throwIfAny();
  if (!model || !dataset)
    throw new CompressError({
      code: 'usage',
      message: 'no data is named to capture scores on',
      where: { key: '--data' },
      hint: 'For example --data text:corpus.txt,window=512.',
    });
  const program = cloneProgram(model.program);
  inferShapes(program);
  const fingerprint = programFingerprint(program);
  const { value, kind } = scoresOf(program, `model ${request.model}`);
  const classes = widthOf(value);
  const logits = logitsOf(new OperatorBuilder(program.graph, 'capture'), value, kind);
  const teacher = await ModelTeacher.open({
    program,
    values: [logits],
    dataset,
    engine: onnxruntimeEngine,
    maxCacheBytes: 0,
    session: { scratchDirectory: tmpdir(), origin: request.model, signal },
  });
  try {
    return await capture({
      folder: resolve(directory, request.output),
      plan: {
        format: 'modelpress-capture',
        version: 1,
        teacher: request.model,
        program: fingerprint,
        description: dataset.description,
        dataset: dataset.fingerprint,
        samples: dataset.length,
        classes,
        kept: Math.min(request.top, classes),
        temperature: request.temperature,
        shard: samplesOfShard,
      },
      teacher,
      onProgress: (done, total) => emit({ type: 'progress', task: 'capture', done, total, unit: 'samples' }),
      signal,
    });
  } finally {
    await teacher.close();
  }
};
