import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArtifactWriter, hashInputs } from '../artifact/write.ts';
import { CompressError, exitCodeOf, exitCodes, formatError } from '../errors.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import { setThreads } from '../kernels/index.ts';
import { Pause } from '../pause.ts';
import { courseOf } from '../report/course.ts';
import { readEvents } from '../report/read-events.ts';
import type { ReportArtifact, RunReport } from '../report/schema.ts';
import { Cache, cacheDirectory } from './cache.ts';
import { contentKey } from './cache-keys.ts';
import { broadcast, type Listener, openEventLog } from './event-log.ts';
import type { Emit, RunEvent } from './events.ts';
import { modelBytes } from './file-size.ts';
import { type Keyed, measureBefore } from './measure.ts';
import { calibrationOf, type PreparedRun, prepareRun, trainingOf } from './prepare.ts';
import type { Recipe } from './recipe.ts';
import { manifestMetrics, reportBytes, reportedArtifact, reportedRequest, reportFindings } from './report.ts';
import { openRunFolder } from './run-folder.ts';
import { runStages } from './run-stages.ts';
import { judge, measureFormats, writeCards, writeFormats } from './run-steps.ts';
import { writeWhole } from './store.ts';
import { toolFingerprint } from './tool.ts';
import { convertTo } from './variants.ts';
import { toolVersion } from './version.ts';

export interface RunOptions {
  /** Take nothing from the cache. */
  readonly fresh?: boolean;
  readonly signal?: AbortSignal;
  /** Told every event of the run. */
  readonly listeners?: readonly Listener[];
}

const reportName = 'report.json';
const eventsName = 'events.ndjson';
const pageName = 'report.html';

/**
 * Runs a recipe: measures the model, runs the stages, writes every format, measures what was written, judges the
 * gates, and puts the output folder in place, with the log of its events and a report for people. A failed gate is an
 * outcome, not an error: the output is written.
 * @throws CompressErrors for everything that is wrong before the work begins; CompressError 'interrupted' when the
 * signal fires, after which the same recipe goes on where it was.
 */
export const runRecipe = async (recipe: Recipe, options: RunOptions = {}): Promise<RunReport> => {
  const prepared = await prepareRun(recipe);
  const cache = new Cache(cacheDirectory(recipe.baseDirectory));
  const folder = openRunFolder(cache, recipe.output);
  try {
    const log = openEventLog(folder.eventFile);
    const emit = broadcast([log.listener, ...(options.listeners ?? [])]);
    const signal = options.signal ?? new AbortController().signal;
    emit({
      type: 'run-started',
      recipe: recipe.source.file ?? 'flags',
      version: toolVersion(),
      stages: recipe.stages.map((stage) => stage.name),
      output: recipe.output,
      formats: recipe.formats.map((format) => format.name),
      maxMemoryBytes: recipe.maxMemoryBytes,
    });
    const unwatch = Pause.of(signal).watch((paused) => emit({ type: paused ? 'paused' : 'resumed' }));
    const resources = tellResources(emit);
    try {
      const report = await work(recipe, prepared, { cache, fresh: options.fresh ?? false, emit, signal });
      clearInterval(resources);
      emit({ type: 'run-finished', outcome: report.outcome, peakMemoryBytes: peakMemory() });
      log.close();
      writeWhole(join(recipe.output, eventsName), readFileSync(folder.eventFile));
      const { reportPage } = await import('../report/html/page.ts');
      const course = courseOf(readEvents(folder.eventFile));
      writeWhole(join(recipe.output, pageName), reportPage({ ...report, ...(course ? { course } : {}) }));
      return report;
    } catch (error) {
      const ended = signal.aborted ? interruption(error) : error;
      clearInterval(resources);
      emit({
        type: 'run-finished',
        outcome: outcomeOf(ended),
        peakMemoryBytes: peakMemory(),
        error: formatError(ended),
      });
      throw ended;
    } finally {
      unwatch();
      log.close();
    }
  } finally {
    folder.release();
  }
};

const resourcesEveryMs = 1000;

/** Tells what memory the process holds, now and every second. */
const tellResources = (emit: Emit): NodeJS.Timeout => {
  const tell = (): void => emit({ type: 'resources', memoryBytes: process.memoryUsage.rss() });
  tell();
  return setInterval(tell, resourcesEveryMs).unref();
};

/** Node counts in kibibytes. */
const peakMemory = (): number => process.resourceUsage().maxRSS * 1024;

const outcomeOf = (error: unknown): Extract<RunEvent, { type: 'run-finished' }>['outcome'] =>
  exitCodeOf(error) === exitCodes.interrupted ? 'interrupted' : 'failed';

/** Whatever an aborted step throws, the reason is that the user asked to stop. */
const interruption = (error: unknown): CompressError =>
  error instanceof CompressError && error.code === 'interrupted' && error.hint !== undefined
    ? error
    : new CompressError({
        code: 'interrupted',
        message: 'stopped on request',
        hint: 'Run the same command again to go on from here; --fresh begins anew.',
        cause: error,
      });

interface Surroundings {
  readonly cache: Cache;
  readonly fresh: boolean;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** The run itself, as a table of contents. */
const work = async (recipe: Recipe, prepared: PreparedRun, surroundings: Surroundings): Promise<RunReport> => {
  const { cache, emit, signal } = surroundings;
  setThreads(recipe.threads);
  for (const text of prepared.warnings) emit({ type: 'message', severity: 'warning', text });
  const inputs = await hashInputs(prepared.inputs, signal);
  const before: Keyed = {
    program: prepared.model.program,
    key: contentKey({ inputs, build: prepared.build, tool: toolFingerprint() }),
    origin: recipe.model.path,
  };
  return cache.withScratch(async (scratchDirectory) => {
    const context = { ...surroundings, engine: onnxruntimeEngine, threads: recipe.threads, scratchDirectory };
    const measuredBefore = await measureBefore(
      before,
      modelBytes(prepared.model, prepared.inputs),
      prepared.evaluation,
      context,
    );
    const { model, plain, stages } = await runStages(prepared.model, before.key, {
      ...context,
      recipe,
      calibration: calibrationOf(prepared),
      training: trainingOf(prepared),
    });
    const writer = await ArtifactWriter.create(recipe.output, {
      inputs: prepared.inputs,
      formatCount: recipe.formats.length,
    });
    try {
      const stageContext = {
        ...{
          ...context,
          calibration: calibrationOf(prepared),
          maxMemoryBytes: recipe.maxMemoryBytes,
          seed: recipe.seed,
        },
        ...{ shared: cache.statistics(toolFingerprint()), scratch: { directory: scratchDirectory } },
      };
      const convert = convertTo({ finished: model, plain, context: stageContext });
      const formats = await writeFormats(recipe, writer, model, { ...surroundings, convert });
      const measuredAfter = await measureFormats(formats, before, prepared, context);
      const gates = judge(recipe, measuredBefore, measuredAfter, emit);
      const artifacts: ReportArtifact[] = [];
      for (const format of formats) artifacts.push(await reportedArtifact(writer.directory, format));
      const report: RunReport = {
        ...reportedRequest(recipe, prepared),
        outcome: gates.every((gate) => gate.passed) ? 'done' : 'gate-failed',
        stages,
        artifacts,
        metrics: { before: measuredBefore, after: measuredAfter },
        gates,
      };
      await writer.addFile(reportName, reportBytes(report));
      if (recipe.modelCard) await writeCards(writer, { report, model, formats, source: recipe.model.path });
      await writer.commit(
        {
          version: report.version,
          family: model.family,
          recipe: recipe.source.text,
          inputs,
          metrics: manifestMetrics(report.metrics),
          findings: reportFindings(report),
        },
        signal,
      );
      return report;
    } catch (error) {
      await writer.discard();
      throw error;
    }
  });
};
