import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { openModel } from '../artifact/open.ts';
import type { WrittenFormat } from '../artifact/write.ts';
import { takeSamples } from '../calibration/dataset.ts';
import type { Engine } from '../execution/session.ts';
import type { Program } from '../ir/graph.ts';
import { hashFile } from '../kernels/index.ts';
import { evaluate } from '../metrics/evaluate.ts';
import type { Cache } from './cache.ts';
import { contentKey } from './cache-keys.ts';
import { measuredAlone, measuredBeside } from './choose-metrics.ts';
import type { Emit, MetricResult } from './events.ts';
import { sizeResult } from './file-size.ts';
import type { AfterResult } from './gates.ts';
import type { EvaluationData } from './prepare.ts';
import { toolFingerprint } from './tool.ts';

export interface MeasureContext {
  readonly engine: Engine;
  readonly cache: Cache;
  readonly fresh: boolean;
  readonly threads: number;
  readonly scratchDirectory: string;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** A program and the key of its content. */
export interface Keyed {
  readonly program: Program;
  readonly key: string;
  readonly origin: string;
}

/** A metric whose value is a time: never the same twice, so never taken from the cache. */
const isTimed = (name: string): boolean => name === 'latency';

const measureOn = async (
  model: Keyed,
  reference: Keyed | undefined,
  data: EvaluationData,
  names: readonly string[],
  context: MeasureContext,
): Promise<MetricResult[]> => {
  const { engine, cache, threads, scratchDirectory, emit, signal } = context;
  const run = (metrics: readonly string[]): Promise<MetricResult[]> =>
    metrics.length === 0
      ? Promise.resolve([])
      : evaluate({
          program: model.program,
          reference: reference?.program,
          dataset: data.dataset,
          datasetName: data.name,
          metrics,
          engine,
          threads,
          origin: model.origin,
          scratchDirectory,
          emit,
          signal,
        });
  const lasting = names.filter((name) => !isTimed(name));
  const key = contentKey({
    model: model.key,
    reference: reference?.key ?? null,
    data: data.dataset.fingerprint,
    name: data.name,
    metrics: lasting,
    tool: toolFingerprint(),
  });
  const known = context.fresh ? undefined : (cache.evaluation(key) as readonly MetricResult[] | undefined);
  const found = known ?? (await run(lasting));
  if (!known && lasting.length > 0) cache.storeEvaluation(key, found);
  const results = [...found, ...(await run(names.filter(isTimed)))];
  return names.flatMap((name) => results.filter((result) => result.metric === name));
};

/**
 * Measures the model as it was opened: everything that needs no reference. Metrics that will compare with it later
 * are tried on one sample, so that a metric that cannot work is known before the work begins.
 * @param bytes of the files that hold its weights.
 */
export const measureBefore = async (
  model: Keyed,
  bytes: number,
  evaluation: readonly EvaluationData[],
  context: MeasureContext,
): Promise<MetricResult[]> => {
  const results: MetricResult[] = [];
  const tell = (result: MetricResult): void => {
    results.push(result);
    context.emit({ type: 'metric', model: 'before', result });
  };
  for (const data of evaluation) {
    for (const result of await measureOn(model, undefined, data, measuredAlone(data.metrics), context)) tell(result);
    const later = measuredBeside(data.metrics);
    if (later.length > 0)
      await measureOn(model, model, { ...data, dataset: takeSamples(data.dataset, 1) }, later, {
        ...context,
        emit: () => {},
      });
  }
  tell(sizeResult(bytes));
  return results;
};

/** Names and hashes of all files of a folder. */
const contentOf = async (directory: string, signal: AbortSignal): Promise<string> => {
  const files: { name: string; blake3: string }[] = [];
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(directory, name);
    if (statSync(path).isFile())
      files.push({ name: relative(directory, path).replaceAll('\\', '/'), blake3: await hashFile(path, { signal }) });
  }
  return contentKey(files);
};

/** Measures a written format: what was written is opened again, and compared with the model before. */
export const measureAfter = async (
  written: WrittenFormat,
  before: Keyed,
  evaluation: readonly EvaluationData[],
  context: MeasureContext,
): Promise<AfterResult[]> => {
  const results: AfterResult[] = [];
  const tell = (result: MetricResult): void => {
    results.push({ format: written.name, result });
    context.emit({ type: 'metric', model: 'after', format: written.name, result });
  };
  if (written.entry !== undefined && evaluation.length > 0) {
    const { program } = await openModel(written.entry);
    const model: Keyed = { program, key: await contentOf(written.directory, context.signal), origin: written.entry };
    for (const data of evaluation)
      for (const result of await measureOn(model, before, data, data.metrics, context)) tell(result);
  } else if (evaluation.length > 0)
    context.emit({
      type: 'message',
      severity: 'warning',
      text: `${written.name} holds no graph that can be run: only its size is measured`,
    });
  tell(sizeResult(written.byteLength));
  return results;
};
