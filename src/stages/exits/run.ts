import type { Dataset, NumericArray } from '../../calibration/dataset.ts';
import { CompressError, internalError } from '../../errors.ts';
import { observeProgram } from '../../execution/observe.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import { type OutputKind, outputKind, rowsOf, toLogits } from '../../metrics/outputs.ts';
import type { Finding } from '../../recipe/events.ts';
import { percent } from '../percent.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { type ExitHead, type Features, featuresOf, HeadMoments, scoresOf } from './heads.ts';
import { leaveEarly } from './leave-early.ts';
import type { ExitBudget, ExitsOptions } from './options.ts';
import { type ExitPlaces, findExitPlaces } from './places.ts';
import { describePlaces } from './plan.ts';
import { type ExitOutcome, type ExitReading, exitFront } from './thresholds.ts';

/** Every so many samples one is kept from the fit of the heads: thresholds are calibrated on those. */
const heldOutEvery = 3;

/** Softmax of a row, in place of its scores. */
const chancesOf = (scores: ArrayLike<number>, from: number, classes: number): Float64Array => {
  let most = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) most = Math.max(most, scores[from + c]!);
  const chances = Float64Array.from({ length: classes }, (_, c) => Math.exp(scores[from + c]! - most));
  const sum = chances.reduce((a, b) => a + b, 0);
  return chances.map((chance) => chance / sum);
};

/** How sure a head is of a sample, and what leaving there would lose. */
const readingOf = (exit: Float64Array, whole: ArrayLike<number>, rows: number, classes: number): ExitReading => {
  let [confidence, loss, agreement] = [1, 0, 0];
  for (let row = 0; row < rows; row++) {
    const q = chancesOf(exit, row * classes, classes);
    const p = chancesOf(whole, row * classes, classes);
    confidence = Math.min(confidence, Math.max(...q));
    if (q.indexOf(Math.max(...q)) === p.indexOf(Math.max(...p))) agreement += 1 / rows;
    for (let c = 0; c < classes; c++) if (p[c]! > 0) loss += (p[c]! * Math.log(p[c]! / Math.max(q[c]!, 1e-30))) / rows;
  }
  return { confidence, loss, agreement };
};

interface Pass {
  readonly model: Model;
  readonly places: ExitPlaces;
  readonly kind: OutputKind;
  readonly dataset: Dataset;
  readonly context: StageContext;
}

/** Shows features of every exit and the scores of the whole model, run by run. */
const observeExits = async (
  { model, places, kind, dataset, context }: Pass,
  task: string,
  see: (exit: number, features: Features, scores: Float64Array, run: number) => void | Promise<void>,
): Promise<void> => {
  const { engine, scratch, emit, signal } = context;
  const streams: (NumericArray | undefined)[] = places.chosen.map(() => undefined);
  let scores: NumericArray | undefined;
  const meet = async (run: number): Promise<void> => {
    if (!scores || streams.some((stream) => stream === undefined)) return;
    const logits = Float64Array.from(toLogits(rowsOf(scores).data, kind));
    for (const [exit, { pooling }] of places.chosen.entries()) {
      await see(exit, featuresOf(streams[exit]!, pooling), logits, run);
      streams[exit] = undefined;
    }
    scores = undefined;
  };
  const observations = [
    {
      value: places.output,
      observer: {
        observe: (array: NumericArray, run: number) => {
          scores = array;
          return meet(run);
        },
      },
    },
    ...places.chosen.map(({ stream }, exit) => ({
      value: stream,
      observer: {
        observe: (array: NumericArray, run: number) => {
          streams[exit] = array;
          return meet(run);
        },
      },
    })),
  ];
  await observeProgram({ program: model.program, dataset, engine, observations, task, scratch, emit, signal });
};

const chosenOutcome = (front: readonly ExitOutcome[], budget: ExitBudget, whole: number): ExitOutcome => {
  if (budget.kind === 'loss') return front.filter(({ loss }) => loss <= budget.nats).at(-1)!;
  const found = front.find(({ operations }) => operations <= budget.share * whole);
  if (found) return found;
  const least = Math.min(...front.map(({ operations }) => operations)) / whole;
  throw new CompressError({
    code: 'mismatch',
    message: `a share of ${budget.share} of the operations cannot be met: leaving at the first exit already costs ${least.toFixed(3)}`,
    where: { key: 'operations' },
    hint: 'Ask for a greater share, or put an exit earlier (after).',
  });
};

const findingsOf = (places: ExitPlaces, outcome: ExitOutcome, front: readonly ExitOutcome[]): Finding[] => {
  const { operations: whole } = places;
  const step = Math.max(1, Math.floor(front.length / 8));
  return [
    {
      kind: 'fact',
      text: `exits behind ${describePlaces(places)} of the operations: a sample is expected to take ${percent(outcome.operations / whole)} of them, ${percent(outcome.agreement)} of the answers stay, ${outcome.loss.toPrecision(3)} nats are lost (samples that heads were not fitted to)`,
      facts: {
        expected_operations: outcome.operations / whole,
        expected_loss: outcome.loss,
        expected_agreement: outcome.agreement,
      },
    },
    ...places.chosen.map(
      ({ block }, exit): Finding => ({
        kind: 'fact',
        text:
          outcome.thresholds[exit]! > 1
            ? `no sample leaves behind ${block.name}`
            : `${percent(outcome.shares[exit]!)} of the samples leave behind ${block.name}, from a confidence of ${outcome.thresholds[exit]!.toPrecision(4)} on`,
        facts: { exit, threshold: outcome.thresholds[exit]!, share: outcome.shares[exit]! },
      }),
    ),
    ...front
      .filter((_, index) => index % step === 0)
      .map(
        ({ operations, loss, agreement, thresholds }): Finding => ({
          kind: 'fact',
          text: `other budgets: ${percent(operations / whole)} of the operations, ${percent(agreement)} of the answers, ${loss.toPrecision(3)} nats, thresholds ${thresholds.map((threshold) => (threshold > 1 ? 'never' : threshold.toPrecision(4))).join(' ')}`,
          facts: { operations: operations / whole, loss, agreement },
        }),
      ),
  ];
};

/**
 * Early exits (BranchyNet; DeeR, Yue et al. 2024): heads between the blocks are fitted in closed form to the scores of the
 * whole model, thresholds of confidence are calibrated on samples of their own so that the expected operations (or the
 * expected divergence) keep to a budget, and branches of the graph leave out what a sure sample does not need.
 * @throws as `findExitPlaces`; 'mismatch' for a budget below the first exit; 'data' for too few samples.
 */
export const runExits = async (model: Model, options: ExitsOptions, context: StageContext): Promise<StageResult> => {
  const { calibration: dataset, signal } = context;
  if (!dataset) throw internalError('the exits stage was started without calibration data');
  if (dataset.length < 2 * heldOutEvery)
    throw new CompressError({
      code: 'data',
      message: `${dataset.length} samples are too few to fit heads and to calibrate thresholds on others`,
      hint: `Give at least ${2 * heldOutEvery} samples.`,
    });
  const places = findExitPlaces(model.program, options);
  const { output, classes } = places;
  const kind = outputKind(output);
  const pass: Pass = { model, places, kind, dataset, context };
  const moments = places.chosen.map(({ features }) => new HeadMoments(features, classes));
  await observeExits(pass, 'fitting heads', async (exit, features, scores, run) => {
    if (run % heldOutEvery > 0) await moments[exit]!.add(features, scores, Math.floor(run / heldOutEvery), signal);
  });
  const heads: ExitHead[] = [];
  for (const own of moments) heads.push(await own.solve(options.ridge, signal));
  const readings: ExitReading[][] = heads.map(() => []);
  await observeExits(pass, 'calibrating thresholds', (exit, { data, rows }, scores, run) => {
    if (run % heldOutEvery === 0)
      readings[exit]!.push(readingOf(scoresOf(heads[exit]!, data, rows), scores, rows, classes));
  });
  const costs = { exits: places.chosen.map(({ operations }) => operations), whole: places.operations };
  const front = exitFront(readings, costs);
  const outcome = chosenOutcome(front, options.budget, places.operations);
  const program = cloneProgram(model.program);
  const own = findExitPlaces(program, options);
  const exits = own.chosen.map((place, exit) => ({
    place,
    head: heads[exit]!,
    threshold: outcome.thresholds[exit]!,
  }));
  leaveEarly(
    program,
    exits.filter(({ threshold }) => threshold <= 1),
    kind,
  );
  inferShapes(program);
  return { model: { ...model, program }, findings: findingsOf(places, outcome, front) };
};
