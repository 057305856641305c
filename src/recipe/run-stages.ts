import { holdsQuantizedWeights } from '../artifact/describe/quantized.ts';
import { loadSnapshot, saveSnapshot } from '../artifact/snapshot.ts';
import type { Dataset } from '../calibration/dataset.ts';
import { CompressError } from '../errors.ts';
import type { Engine } from '../execution/session.ts';
import type { Model } from '../ir/model.ts';
import type { ReportStage } from '../report/schema.ts';
import type { Stage } from '../stages/stage.ts';
import type { Cache } from './cache.ts';
import { contentKey } from './cache-keys.ts';
import type { Entry } from './entries.ts';
import type { Emit, Finding } from './events.ts';
import type { Recipe } from './recipe.ts';
import { hashReferences, modelSource } from './references.ts';
import { type StageRecord, StageRecorder } from './stage-record.ts';
import { toolFingerprint } from './tool.ts';

/** What the stages of a run are given. */
export interface StagesContext {
  readonly recipe: Recipe;
  readonly calibration: Dataset | undefined;
  /** What stages that train are given in place of calibration samples. */
  readonly training: Dataset | undefined;
  readonly engine: Engine;
  readonly cache: Cache;
  /** Compute every stage, whatever the cache holds. */
  readonly fresh: boolean;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** What is stored of a stage beside its model. */
interface StageFacts extends StageRecord {
  readonly findings: readonly Finding[];
}

export interface StagesResult {
  readonly model: Model;
  /** The last state of the model whose weights were not quantized; the opened model where it already was. */
  readonly plain: Model;
  readonly stages: readonly ReportStage[];
}

/** The samples that a stage looks at. */
const samplesOf = ({ card }: Entry<Stage<unknown>>, { calibration, training }: StagesContext): Dataset | undefined =>
  card.trains === true ? training : calibration;

/**
 * Key of a stage's result: what went in (by the key of the step before it), the stage with its decided options, the
 * calibration samples where it looks at them, other models that it names, the seed, and the program's own code.
 */
const stageKey = async (inputKey: string, stage: Entry<Stage<unknown>>, context: StagesContext): Promise<string> => {
  const { recipe, signal } = context;
  const references = await hashReferences(stage, recipe, signal);
  return contentKey({
    ...(references.length > 0 ? { references } : {}),
    input: inputKey,
    stage: stage.name,
    options: stage.options,
    calibration: samplesOf(stage, context)?.fingerprint ?? null,
    seed: recipe.seed,
    tool: toolFingerprint(),
  });
};

/**
 * Runs the stages of a recipe one after the other. Each result is stored and read back before the next stage, so that
 * a run that finds it in the cache goes on with the same bytes as the run that made it.
 * @param inputKey content key of the opened model.
 */
export const runStages = async (opened: Model, inputKey: string, context: StagesContext): Promise<StagesResult> => {
  const stages: ReportStage[] = [];
  let model = opened;
  let plain = opened;
  let key = inputKey;
  for (const [index, stage] of context.recipe.stages.entries()) {
    key = await stageKey(key, stage, context);
    const found = context.fresh ? undefined : await context.cache.stage(key);
    if (found) context.emit({ type: 'stage-cached', index, stage: stage.name, key });
    else await computeStage({ opened, model }, stage, index, key, context);
    const stored = found ?? (await context.cache.stage(key));
    if (!stored)
      throw new CompressError({
        code: 'resource',
        message: `the result of stage '${stage.name}' is gone from the cache ${context.cache.directory}`,
        hint: 'Something else empties this folder while the run needs it.',
      });
    model = { ...loadSnapshot(stored.directory), origin: opened.origin };
    if (!holdsQuantizedWeights(model.program)) plain = model;
    const facts = stored.facts as StageFacts;
    stages.push({ stage: stage.name, ...facts });
    context.emit({ type: 'stage-finished', index, stage: stage.name, findings: facts.findings });
    if (context.recipe.strict) refuseFallbacks(stage, facts.findings, context.recipe);
  }
  return { model, plain, stages };
};

const computeStage = async (
  { opened, model }: { readonly opened: Model; readonly model: Model },
  stage: Entry<Stage<unknown>>,
  index: number,
  key: string,
  context: StagesContext,
): Promise<void> => {
  const { recipe, cache, emit, signal } = context;
  emit({ type: 'stage-started', index, stage: stage.name });
  if (context.fresh) cache.dropCheckpoints(key);
  const recorder = new StageRecorder(cache.checkpoints(key));
  await cache.withScratch(async (directory) => {
    const result = await stage.card.run(model, stage.options, {
      calibration: samplesOf(stage, context),
      models: await modelSource(opened, stage, recipe),
      engine: context.engine,
      maxMemoryBytes: recipe.maxMemoryBytes,
      threads: recipe.threads,
      seed: recipe.seed,
      checkpoints: recorder.checkpoints,
      shared: cache.statistics(toolFingerprint()),
      scratch: { directory },
      emit: recorder.listening(emit),
      signal,
    });
    signal.throwIfAborted();
    const facts: StageFacts = { findings: result.findings, ...recorder.record };
    await cache.storeStage(key, facts, (folder) => saveSnapshot(result.model, folder));
  });
  cache.dropCheckpoints(key);
};

const refuseFallbacks = (stage: Entry<Stage<unknown>>, findings: readonly Finding[], recipe: Recipe): void => {
  const fallback = findings.find((finding) => finding.kind === 'fallback');
  if (!fallback) return;
  throw new CompressError({
    code: 'numeric',
    message: `stage '${stage.name}' had to fall back, which a strict run forbids: ${fallback.text}`,
    where: {
      ...recipe.source.locate(stage.path, 'key'),
      ...(fallback.site === undefined ? {} : { site: fallback.site }),
    },
    hint: 'Look at the data and options of this stage, or set strict to false to accept the fallback.',
  });
};
