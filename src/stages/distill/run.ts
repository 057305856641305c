import type { Dataset } from '../../calibration/dataset.ts';
import { CompressError, internalError } from '../../errors.ts';
import { bindingOf } from '../../execution/feeds.ts';
import type { SessionOptions } from '../../execution/session.ts';
import { cloneGraph } from '../../ir/clone.ts';
import { setConstant } from '../../ir/edit/replace.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { type Batch, collate, readSample, splitSamples } from '../../training/batches.ts';
import { Generator } from '../../training/generator.ts';
import { buildPrograms, GraphObjective } from '../../training/graph-objective.ts';
import { type TrainResult, train } from '../../training/loop.ts';
import { featureLosses } from '../../training/losses/features.ts';
import { predictMemory } from '../../training/memory.ts';
import { optimizers } from '../../training/optimizers/table.ts';
import type { Teacher } from '../../training/teacher.ts';
import type { TrainedWeight } from '../../training/weights/weight.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { fitMemory, type MemoryFit } from './fit-memory.ts';
import { automaticRate } from './learning-rate.ts';
import { type LossSetup, setUpLoss } from './loss.ts';
import type { DistillOptions } from './options.ts';
import { rationaleOf } from './rationale.ts';
import { studentOf } from './student.ts';
import { loadTeacher, openTeachers } from './teachers.ts';
import { selectTrainable, trainedWeights } from './trained-weights.ts';

/** A copy of a program whose types are known. */
const typedCopy = (program: Program): Program => {
  const copy = { ...program, graph: cloneGraph(program.graph), opsets: new Map(program.opsets) };
  inferShapes(copy);
  return copy;
};

/**
 * Trains a copy of the model to behave like its teachers.
 * @throws 'data' for data that do not fit or are too few, 'mismatch' for teachers that cannot be compared with, 'resource'
 * when not even one sample fits into memory, 'numeric' when the first step gives no finite loss, 'interrupted'.
 */
export const runDistill = async (
  model: Model,
  options: DistillOptions,
  context: StageContext,
): Promise<StageResult> => {
  const dataset = context.calibration;
  if (!dataset) throw internalError('distill was run without data');
  const student = studentOf(model, options, context.seed);
  const program = typedCopy(student.program);
  const { chosen, findings } = selectTrainable(program, options);
  const weights = trainedWeights(chosen, options, context.seed);
  const teachers = await openTeachers(options, context);
  const windows = (await dataset.sample(0)).kind === 'tokens';
  const setup = setUpLoss({ student: program, teachers, options, windows, seed: context.seed });
  const run = await planRun({ program, weights, setup, dataset, options, context });
  const loaded: Teacher[] = [];
  try {
    for (const [index, teacher] of teachers.entries())
      loaded.push(
        await loadTeacher(
          teacher,
          setup.teacherValues[index]!,
          dataset,
          run.memory.cacheBytes / teachers.length,
          context,
        ),
      );
    return await trainStudent({ student, program, weights, setup, loaded, dataset, options, context, run, findings });
  } finally {
    for (const teacher of loaded) await teacher.close();
  }
};

interface RunPlan {
  readonly programs: ReturnType<typeof buildPrograms>;
  readonly train: readonly number[];
  readonly held: readonly number[];
  readonly memory: MemoryFit;
  readonly steps: number;
}

interface PlanRequest {
  readonly program: Program;
  readonly weights: ReadonlyMap<Value, TrainedWeight>;
  readonly setup: LossSetup;
  readonly dataset: Dataset;
  readonly options: DistillOptions;
  readonly context: StageContext;
}

/** Builds the step's program and fits the batch into memory. */
const planRun = async ({ program, weights, setup, dataset, options, context }: PlanRequest): Promise<RunPlan> => {
  const { seed, maxMemoryBytes } = context;
  const { train, held } = splitSamples(dataset, { share: options.holdOut, batch: options.batch, seed });
  const programs = buildPrograms({
    student: program,
    weights,
    extra: setup.extra,
    loss: setup.plan,
    precision: options.precision,
  });
  const sample = { index: train[0]!, sample: await readSample(dataset, train[0]!), origin: 'dataset' } as const;
  const single = collate([sample], bindingOf(program), dataset.description);
  const parameters = [...weights.values(), ...setup.extra]
    .flatMap((weight) => weight.parameters)
    .reduce((sum, { initial }) => sum + initial.length, 0);
  const wanted = Math.min(options.microBatch ?? usualPart(setup, single), options.batch);
  const memory = fitMemory(predictMemory(programs, single, parameters), maxMemoryBytes, wanted);
  return { programs, train, held, memory, steps: await stepsOf(options, dataset, train) };
};

/** Tokens that are run at once: what they compute stays in the caches of usual processors. */
const tokensAtOnce = 1024;

/** Samples that are run at once unless it is said: those of windows by their length, all where a loss compares samples. */
const usualPart = ({ plan }: LossSetup, single: Batch): number => {
  const comparesSamples = plan.features.some(({ loss }) => loss === featureLosses.contrastive);
  if (!plan.windows || comparesSamples) return Number.POSITIVE_INFINITY;
  return Math.max(1, Math.round(tokensAtOnce / single.length));
};

/** Steps that see as many tokens (or samples that are no windows) as asked for, by the mean length of the samples. */
const stepsOf = async (
  { budget, batch }: DistillOptions,
  dataset: Dataset,
  train: readonly number[],
): Promise<number> => {
  if (budget.kind === 'steps') return budget.steps;
  let items = 0;
  for (const index of train) {
    const sample = await readSample(dataset, index);
    items += sample.kind === 'tokens' ? sample.ids.length : 1;
  }
  return Math.max(1, Math.round(budget.items / ((items / train.length) * batch)));
};

interface TrainRequest extends PlanRequest {
  readonly student: Model;
  readonly loaded: readonly Teacher[];
  readonly run: RunPlan;
  readonly findings: readonly Finding[];
}

const trainStudent = async (request: TrainRequest): Promise<StageResult> => {
  const { student, program, weights, setup, loaded, dataset, options, context, run, findings } = request;
  const { engine, seed, signal, scratch, checkpoints, emit } = context;
  const { provider } = options;
  const providers = provider === 'cpu' ? undefined : [provider];
  const session = { scratchDirectory: scratch.directory, signal, providers };
  const generator = await openGenerator(request, session);
  const objective = await GraphObjective.open(
    {
      student: program,
      weights,
      extra: setup.extra,
      loss: setup.plan,
      teachers: loaded,
      dataset,
      train: run.train,
      held: run.held,
      batch: options.batch,
      microBatch: run.memory.microBatch,
      blockwise:
        run.memory.betweenBlocks === undefined
          ? undefined
          : { maxMemoryBytes: run.memory.betweenBlocks, scratch, signal },
      seed,
      engine,
      session,
      signal,
      rationale: await rationaleOf(options.rationale, student),
      generation: generator && options.onPolicy && { ...options.onPolicy, generator, writing: options.onPolicy },
    },
    run.programs,
  );
  try {
    const peak = options.learningRate === 'auto' ? await automaticRate(objective) : options.learningRate;
    const { steps } = run;
    const optimizer = optimizers[options.optimizer].create(objective.parameters, {
      weightDecay: options.weightDecay,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      momentum: 0.95,
      stepSize: options.learningRate === 'auto' ? 'relative' : 'absolute',
    });
    const result = await train({
      objective,
      optimizer,
      schedule: { name: options.schedule, peak, warmup: Math.round(options.warmup * steps), steps },
      clipNorm: options.clipNorm,
      averageDecay: options.average,
      validateEvery: options.validateEvery ?? Math.max(1, Math.ceil(steps / 10)),
      patience: options.patience,
      store: checkpoints,
      checkpointEvery: 25,
      onStep: ({ step, loss, parts, learningRate, gradientNorm, seen }) => {
        emit({ type: 'training-step', stage: 'distill', step, steps, loss, parts, learningRate, gradientNorm, seen });
        const [done, total] = [seen, Math.round((seen / step) * steps)];
        const unit = setup.plan.windows ? 'tokens' : 'samples';
        emit({ type: 'progress', task: 'distill', done, total, unit, item: `loss ${loss.toPrecision(4)}` });
      },
      onValidation: (step, value) => emit({ type: 'training-judged', stage: 'distill', step, steps, value }),
      signal,
    });
    const model = { ...student, program: await withTensors(student.program, program, objective) };
    return { model, findings: [...findings, ...findingsOf(result, peak, steps), ...run.memory.findings] };
  } finally {
    await objective.close();
    await generator?.close();
  }
};

/** What writes samples with the student, where it is to learn on them. @throws 'unsupported' for other data than texts. */
const openGenerator = async (
  { program: student, weights, setup, options, context }: TrainRequest,
  session: SessionOptions,
): Promise<Generator | undefined> => {
  const { scores, windows } = setup.plan;
  if (!options.onPolicy) return undefined;
  const rank = scores?.value.type?.kind === 'tensor' ? scores.value.type.shape?.length : undefined;
  if (!scores || !windows || rank !== 3)
    throw new CompressError({
      code: 'unsupported',
      message: 'only models that score every next token of a text can write samples',
      where: { key: 'on_policy' },
      hint: 'Leave on_policy out, or use windows of text and a loss between distributions.',
    });
  return Generator.open({ student, weights, scores, engine: context.engine, session, signal: context.signal });
};

/** A copy of the student's program with the trained constants, found by their names. */
const withTensors = async (original: Program, trained: Program, objective: GraphObjective): Promise<Program> => {
  const known = new Map<Value, Value>();
  const graph = cloneGraph(original.graph, known);
  const byName = new Map([...known.values()].map((value) => [value.name, value]));
  for (const [value, tensor] of await objective.tensors()) {
    const own = byName.get(value.name);
    if (!own) throw internalError(`the trained constant ${value.name} of ${trained.graph.name} is not in the student`);
    setConstant(own, tensor);
  }
  return { ...original, graph, opsets: new Map(original.opsets), metadata: new Map(original.metadata) };
};

const findingsOf = (result: TrainResult, peak: number, steps: number): Finding[] => {
  const facts = {
    steps: result.step,
    best_step: result.bestStep,
    learning_rate: peak,
    seen: result.seen,
    ...(result.start === undefined ? {} : { held_out_before: result.start }),
    ...(result.best === undefined ? {} : { held_out_after: result.best }),
  };
  const text = `trained ${result.step} of ${steps} steps, kept step ${result.bestStep}`;
  const findings: Finding[] = [{ kind: 'fact', text, facts }];
  if (result.bestStep === 0)
    findings.push({ kind: 'warning', text: 'no step was better on the held-out samples: the model is as it was' });
  const { stopped } = result;
  if (stopped)
    findings.push({
      kind: stopped.kind === 'patience' ? 'fact' : 'fallback',
      text: `stopped early, the best state is kept: ${stopped.text}`,
    });
  return findings;
};
