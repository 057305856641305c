import type { Dataset, Sample } from '../calibration/dataset.ts';
import { CompressError } from '../errors.ts';
import { type Binding, bindingOf, runSample, type SampleStep } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import { type Engine, type Session, withSession } from '../execution/session.ts';
import type { Program } from '../ir/graph.ts';
import type { Emit, MetricResult } from '../recipe/events.ts';
import type { DataMetric, Measured, Metric } from './metric.ts';
import { type PrimaryOutput, primaryOutput } from './outputs.ts';
import { MetricStep } from './step.ts';
import { metrics as table } from './table.ts';

export interface EvaluateOptions {
  readonly program: Program;
  /** The model that `kl`, `agreement`, `snr`, … compare with. */
  readonly reference?: Program | undefined;
  readonly dataset: Dataset;
  /** What the dataset is called in results; default its description. */
  readonly datasetName?: string | undefined;
  /** Names of metrics (see table.ts). */
  readonly metrics: readonly string[];
  readonly engine: Engine;
  /** Threads for `latency`; all other metrics are the same for any number. Default: one a core. */
  readonly threads?: number | undefined;
  /** What the program was opened from, for messages. */
  readonly origin?: string | undefined;
  readonly scratchDirectory?: string | undefined;
  readonly emit: Emit;
  readonly signal?: AbortSignal | undefined;
}

/** @throws CompressError 'usage' for a name that the table does not have, or a reference that is missing. */
const findMetric = (name: string, hasReference: boolean): Metric => {
  const metric = table.find((candidate) => candidate.name === name);
  if (!metric)
    throw new CompressError({
      code: 'usage',
      message: `there is no metric ${JSON.stringify(name)}`,
      hint: `Metrics are ${table.map((candidate) => candidate.name).join(', ')}.`,
    });
  if (metric.needsReference && !hasReference)
    throw new CompressError({
      code: 'usage',
      message: `${name} compares with a reference model, and there is none`,
      hint: 'Name the model to compare with (--reference), or leave the metric out.',
    });
  return metric;
};

const resultOf = (metric: Metric, dataset: string, measured: Measured): MetricResult => ({
  metric: metric.name,
  dataset,
  value: measured.value,
  count: measured.count,
  ...(measured.interval === undefined ? {} : { interval: measured.interval }),
  ...(metric.unit ? { unit: metric.unit } : {}),
  ...(metric.better ? { better: metric.better } : {}),
});

/** Whether rows of the output score the vocabulary at each position of a window of tokens. */
const scoresTokens = (shape: readonly number[], tokens: number, output: PrimaryOutput, binding: Binding): boolean =>
  shape.length === 3 && shape[1] === tokens && (output.name === 'logits' || shape[2] === binding.vocabulary);

const stepOf = (
  item: string,
  sample: Sample,
  outputs: SampleStep['outputs'],
  referenceOutputs: SampleStep['outputs'] | undefined,
  facts: {
    readonly output: PrimaryOutput;
    readonly referenceOutput: PrimaryOutput | undefined;
    readonly binding: Binding;
  },
): MetricStep => {
  const { output, referenceOutput, binding } = facts;
  const array = outputs.get(output.name);
  if (!array) throw new CompressError({ code: 'data', message: `the model gave no output ${output.name}` });
  const reference = referenceOutput && referenceOutputs?.get(referenceOutput.name);
  if (reference && reference.shape.join() !== array.shape.join())
    throw new CompressError({
      code: 'mismatch',
      message: `output ${output.name} is [${array.shape.join(', ')}], but the reference model’s is [${reference.shape.join(', ')}]`,
      hint: 'Compare models that take the same inputs and give the same outputs.',
    });
  const tokens =
    sample.kind === 'tokens' && scoresTokens(array.shape, sample.ids.length, output, binding) ? sample : undefined;
  return new MetricStep({
    item,
    kind: output.kind,
    output: array,
    reference,
    label: sample.kind === 'arrays' ? sample.label : undefined,
    tokens,
    hidden: sample.kind === 'tokens' && !tokens && array.shape.length === 3,
  });
};

/** Shows every run of both models to the accumulators, in one pass over the data. */
const gather = async (
  options: EvaluateOptions,
  output: PrimaryOutput,
  show: (step: MetricStep) => Promise<void>,
  session: Session,
  referenceSession: Session | undefined,
): Promise<void> => {
  const { program, reference, dataset, emit, signal } = options;
  const binding = bindingOf(program);
  const referenceBinding = reference && bindingOf(reference);
  const referenceOutput = reference && primaryOutput(reference);
  const task = `evaluate on ${options.datasetName ?? dataset.description}`;
  for (let index = 0; index < dataset.length; index++) {
    checkSignal(signal);
    const sample = await dataset.sample(index);
    const item = `sample ${index} of ${dataset.description}`;
    const beside =
      referenceSession && referenceBinding && referenceOutput
        ? runSample(referenceSession, sample, referenceBinding, item, [referenceOutput.name])
        : undefined;
    for await (const { outputs } of runSample(session, sample, binding, item, [output.name])) {
      const other = await beside?.next();
      await show(
        stepOf(item, sample, outputs, other?.done ? undefined : other?.value.outputs, {
          output,
          referenceOutput,
          binding,
        }),
      );
    }
    emit({ type: 'progress', task, done: index + 1, total: dataset.length, unit: 'samples' });
  }
};

const measureData = async (options: EvaluateOptions, chosen: readonly DataMetric[]): Promise<Map<Metric, Measured>> => {
  const { program, reference, engine, signal, scratchDirectory, origin } = options;
  const output = primaryOutput(program);
  if (!output)
    throw new CompressError({ code: 'unsupported', message: 'the model has no floating-point output to measure' });
  const running = chosen.map((metric) => ({ metric, accumulator: metric.start() }));
  const classifies = chosen.some((metric) => metric.needsClasses);
  const show = async (step: MetricStep): Promise<void> => {
    if (classifies) await step.classify();
    for (const { accumulator } of running) accumulator.add(step);
  };
  const sessionOptions = { signal, scratchDirectory, origin };
  const comparing = reference && chosen.some((metric) => metric.needsReference) ? reference : undefined;
  await withSession(engine, program, sessionOptions, async (session) => {
    if (!comparing) return gather(options, output, show, session, undefined);
    return withSession(engine, comparing, { signal, scratchDirectory }, (beside) =>
      gather(options, output, show, session, beside),
    );
  });
  return new Map(
    running.map(({ metric, accumulator }) => [metric, checkMeasured(metric, accumulator.result(), options)]),
  );
};

/** @throws CompressError 'data' when nothing could be measured, 'numeric' when what was measured is no number. */
const checkMeasured = (metric: DataMetric, result: Measured | undefined, options: EvaluateOptions): Measured => {
  const place = `on ${options.datasetName ?? options.dataset.description}`;
  if (!result)
    throw new CompressError({
      code: 'data',
      message: `${metric.name} cannot be measured ${place}`,
      hint: `It needs ${metric.needs}.`,
    });
  if (!Number.isFinite(result.value))
    throw new CompressError({
      code: 'numeric',
      message: `${metric.name} ${place} is ${result.value}`,
      hint: 'The model computes NaN or infinite numbers: look at its weights, and at half-precision conversions.',
    });
  return result;
};

/**
 * Measures a program on a dataset: one pass over the data for all metrics that look at outputs, with the reference
 * model run beside it sample by sample. Results come in the order of `metrics`. Means carry the half width of their
 * 95 % confidence interval over samples. One sample is run at a time, as it is deployed.
 * @throws CompressError 'usage', 'data' or 'mismatch'.
 */
export const evaluate = async (options: EvaluateOptions): Promise<MetricResult[]> => {
  const { program, dataset, engine, signal, threads } = options;
  const chosen = options.metrics.map((name) => findMetric(name, options.reference !== undefined));
  const data = chosen.filter((metric) => metric.kind === 'data');
  const measured = data.length > 0 ? await measureData(options, data) : new Map<Metric, Measured>();
  for (const metric of chosen)
    if (metric.kind === 'model')
      measured.set(metric, await metric.measure({ program, dataset, engine, threads, signal }));
  const name = options.datasetName ?? dataset.description;
  return chosen.map((metric) => resultOf(metric, name, measured.get(metric)!));
};

/**
 * The metrics that say most about a model on a dataset, for recipes that name none. Those that need a reference are
 * among them: leave them out where there is none.
 */
export const defaultMetrics = async (program: Program, dataset: Dataset): Promise<string[]> => {
  const output = primaryOutput(program);
  if (!output || dataset.length === 0) return ['size'];
  const sample = await dataset.sample(0);
  if (sample.kind === 'tokens')
    return output.name === 'logits' ? ['perplexity', 'kl', 'agreement', 'size'] : ['cosine', 'neighbours', 'size'];
  if (sample.kind === 'arrays' && sample.label !== undefined) return ['accuracy', 'kl', 'agreement', 'snr', 'size'];
  return output.kind === 'scores' ? ['snr', 'cosine', 'size'] : ['agreement', 'kl', 'snr', 'size'];
};
