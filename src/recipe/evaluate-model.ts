import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { inputFiles, openModel } from '../artifact/open.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import { defaultMetrics, evaluate } from '../metrics/evaluate.ts';
import { measuredAlone, sizeMetric } from './choose-metrics.ts';
import { readDatasets } from './datasets.ts';
import type { Emit, MetricResult } from './events.ts';
import { modelBytes, sizeResult } from './file-size.ts';
import { readMetrics } from './load.ts';
import { attempt, datasetContext, openDatasets } from './prepare.ts';
import { Problems } from './problems.ts';
import { builtRecipe } from './source.ts';

/** What is to be measured on what. Paths start at `directory`. */
export interface EvaluationRequest {
  readonly model: string;
  /** A model to compare with. */
  readonly reference?: string;
  /** Datasets as recipes write them: texts `kind:path,key=value` or maps. */
  readonly data: readonly unknown[];
  /** Names of metrics; by default those that suit model and data. */
  readonly metrics?: readonly string[];
  readonly seed?: number;
  readonly directory?: string;
  readonly threads?: number;
  readonly emit?: Emit;
  readonly signal?: AbortSignal;
}

/** Flags that give the parts of a request on the command line, for messages. */
const flags = new Map([
  ['model', 'MODEL'],
  ['reference', '--reference'],
  ['data', '--data'],
  ['metrics', '--metric'],
]);

/**
 * Opens a model and measures it on data, against a reference model where one is named.
 * @throws CompressErrors with everything that is wrong with the request.
 */
export const evaluateModel = async (request: EvaluationRequest): Promise<MetricResult[]> => {
  const { directory = process.cwd(), seed = 0, signal, emit = () => {} } = request;
  const problems = new Problems(builtRecipe(request, flags));
  const path = resolve(directory, request.model);
  const model = await attempt(problems, ['model'], () => openModel(path));
  const reference =
    request.reference === undefined
      ? undefined
      : await attempt(problems, ['reference'], () => openModel(resolve(directory, request.reference ?? '')));
  const named = readDatasets(problems, ['data'], request.data);
  const wanted = readMetrics(problems, request.metrics);
  const open = model
    ? await openDatasets(problems, named, datasetContext(model, { baseDirectory: directory, seed }))
    : [];
  problems.throwIfAny();
  if (!model) return [];
  const results: MetricResult[] = [];
  for (const { name, dataset } of open) {
    const suitable = wanted ?? (await defaultMetrics(model.program, dataset));
    const names = reference || wanted ? suitable : measuredAlone(suitable);
    results.push(
      ...(await evaluate({
        program: model.program,
        reference: reference?.program,
        dataset,
        datasetName: name,
        metrics: names.filter((metric) => metric !== sizeMetric),
        engine: onnxruntimeEngine,
        threads: request.threads,
        origin: request.model,
        scratchDirectory: tmpdir(),
        emit,
        signal,
      })),
    );
  }
  return [...results, sizeResult(modelBytes(model, inputFiles(path, model)))];
};
