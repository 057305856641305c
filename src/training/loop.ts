import { CompressError } from '../errors.ts';
import { checkSignal } from '../execution/interrupt.ts';
import { followAverage, sumOfSquares } from '../kernels/index.ts';
import { decodeState, encodeState } from './checkpoint.ts';
import type { BatchLoss, Objective } from './objective.ts';
import type { Optimizer } from './optimizers/optimizer.ts';
import { learningRateAt, type Schedule } from './schedules.ts';

/** Where the state of a running training is kept. */
export interface TrainingStore {
  get(key: string): Uint8Array | undefined;
  put(key: string, bytes: Uint8Array): void;
}

export interface StepReport extends BatchLoss {
  readonly step: number;
  readonly steps: number;
  readonly learningRate: number;
  /** Length of the gradient before clipping. */
  readonly gradientNorm: number;
  /** Items seen so far. */
  readonly seen: number;
}

export interface TrainOptions {
  readonly objective: Objective;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  /** Greatest length of a gradient; longer ones are scaled down to it. */
  readonly clipNorm: number;
  /** Decay of the average of parameters that is judged and returned instead of them; 0: no average. */
  readonly averageDecay: number;
  /** Judge every so many steps, and after the last one. */
  readonly validateEvery: number;
  /** Stop after so many judgements without a new best one. */
  readonly patience: number;
  /** A judgement this many times worse than the first one ends training. Default 4. */
  readonly divergence?: number;
  readonly store: TrainingStore;
  /** Keep the state every so many steps. */
  readonly checkpointEvery: number;
  onStep?(report: StepReport): void;
  onValidation?(step: number, value: number): void;
  readonly signal: AbortSignal;
}

export interface TrainResult {
  /** Steps done. */
  readonly step: number;
  /** Judgement of the start and of the parameters that are left in place; undefined where nothing was judged. */
  readonly start: number | undefined;
  readonly best: number | undefined;
  readonly bestStep: number;
  /** Why training ended before its last step. */
  readonly stopped: { readonly kind: 'numeric' | 'diverged' | 'patience'; readonly text: string } | undefined;
  readonly seen: number;
}

const stateKey = 'training';

/** Usual `divergence`. */
const usualDivergence = 4;

/**
 * Trains: the parameters of the objective are changed in place, and hold the best judged ones at the end (the last ones
 * where nothing is judged). The result follows from the objective and the options alone: a training that was killed and
 * goes on from its store gives the same bits.
 * @throws CompressError 'numeric' naming the batch when already the first step gives no finite loss; 'interrupted'.
 */
export const train = async (options: TrainOptions): Promise<TrainResult> => {
  const run = new TrainingRun(options);
  await run.begin();
  while (run.goesOn) {
    checkSignal(options.signal);
    await run.step();
  }
  return run.finish();
};

class TrainingRun {
  readonly #options: TrainOptions;
  readonly #values: Float32Array;
  readonly #average: Float32Array | undefined;
  readonly #best: Float32Array;
  #step = 0;
  #seen = 0;
  #start: number | undefined;
  #bestValue: number | undefined;
  #bestStep = 0;
  #failures = 0;
  #stopped: TrainResult['stopped'];

  constructor(options: TrainOptions) {
    this.#options = options;
    this.#values = options.objective.parameters.values;
    this.#average = options.averageDecay > 0 ? this.#values.slice() : undefined;
    this.#best = this.#values.slice();
  }

  get goesOn(): boolean {
    return this.#step < this.#options.schedule.steps && !this.#stopped;
  }

  /** Goes on from the store, or judges the start. */
  async begin(): Promise<void> {
    const stored = this.#options.store.get(stateKey);
    if (stored) this.#restore(stored);
    else {
      this.#start = await this.#options.objective.validate();
      this.#bestValue = this.#start;
    }
  }

  async step(): Promise<void> {
    const { objective, optimizer, schedule, clipNorm, averageDecay } = this.#options;
    const number = this.#step + 1;
    const { gradients, ...batch } = await objective.gradient(number);
    const gradientNorm = Math.sqrt(sumOfSquares(gradients));
    if (!Number.isFinite(batch.loss) || !Number.isFinite(gradientNorm)) {
      this.#breakOff(number, batch, gradientNorm);
      return;
    }
    const learningRate = learningRateAt(schedule, number);
    const gradientScale = Math.min(1, clipNorm / Math.max(gradientNorm, Number.MIN_VALUE));
    optimizer.step(gradients, { step: number, learningRate, gradientScale });
    if (this.#average) followAverage(this.#average, this.#values, Math.min(averageDecay, number / (number + 10)));
    this.#step = number;
    this.#seen += batch.items;
    const { steps } = schedule;
    this.#options.onStep?.({ ...batch, step: number, steps, learningRate, gradientNorm, seen: this.#seen });
    if (number % this.#options.validateEvery === 0 || number === steps) await this.#judge();
    if (number % this.#options.checkpointEvery === 0 && this.goesOn) this.#keep();
  }

  finish(): TrainResult {
    if (this.#bestValue !== undefined) this.#values.set(this.#best);
    else if (this.#average) this.#values.set(this.#average);
    return {
      step: this.#step,
      start: this.#start,
      best: this.#bestValue,
      bestStep: this.#bestValue === undefined ? this.#step : this.#bestStep,
      stopped: this.#stopped,
      seen: this.#seen,
    };
  }

  /** A step that cannot be taken: nothing was trained yet, or the best parameters so far are kept. */
  #breakOff(number: number, batch: BatchLoss, gradientNorm: number): void {
    const what = Number.isFinite(batch.loss) ? `the gradient's length is ${gradientNorm}` : `the loss is ${batch.loss}`;
    const text = `${what} at step ${number} (${batch.description})`;
    if (number === 1 || this.#bestValue === undefined)
      throw new CompressError({
        code: 'numeric',
        message: text,
        hint:
          number === 1
            ? 'Look at the data and weights of the model.'
            : 'Use a smaller learning rate, or hold samples out to keep the best state by.',
      });
    this.#stopped = { kind: 'numeric', text };
  }

  /** Judges the parameters, or their average where there is one. */
  async #judge(): Promise<void> {
    const { objective, patience } = this.#options;
    const judged = this.#average ?? this.#values;
    const value = await this.#withValues(judged, () => objective.validate());
    if (value === undefined) return;
    this.#options.onValidation?.(this.#step, value);
    if (this.#bestValue === undefined || value < this.#bestValue) {
      this.#bestValue = value;
      this.#bestStep = this.#step;
      this.#best.set(judged);
      this.#failures = 0;
      return;
    }
    this.#failures += 1;
    const { divergence = usualDivergence } = this.#options;
    if (!(value <= divergence * Math.max(this.#start ?? value, 1e-3)))
      this.#stopped = {
        kind: 'diverged',
        text: `the held-out loss went from ${this.#start} to ${value} by step ${this.#step}: the learning rate is too large`,
      };
    else if (this.#failures >= patience)
      this.#stopped = {
        kind: 'patience',
        text: `${this.#failures} judgements without a better one by step ${this.#step}`,
      };
  }

  /** Runs `work` with other numbers in the live buffer, and puts the present ones back. */
  async #withValues<Result>(values: Float32Array, work: () => Promise<Result>): Promise<Result> {
    if (values === this.#values) return work();
    const present = this.#values.slice();
    this.#values.set(values);
    try {
      return await work();
    } finally {
      this.#values.set(present);
    }
  }

  get #buffers(): Float32Array[] {
    const average = this.#average ? [this.#average] : [];
    return [this.#values, this.#best, ...average, ...this.#options.optimizer.states];
  }

  #keep(): void {
    const facts = {
      seen: this.#seen,
      start: this.#start ?? Number.NaN,
      best: this.#bestValue ?? Number.NaN,
      bestStep: this.#bestStep,
      failures: this.#failures,
    };
    const { memory } = this.#options.objective;
    const buffers = [...this.#buffers, ...(memory ? [memory.toBits()] : [])];
    this.#options.store.put(stateKey, encodeState({ step: this.#step, buffers, facts }));
  }

  #restore(bytes: Uint8Array): void {
    const { step, buffers: kept, facts } = decodeState(bytes);
    const own = this.#buffers;
    const { memory } = this.#options.objective;
    const buffers = memory ? kept.slice(0, -1) : kept;
    if (buffers.length !== own.length || buffers.some(({ length }, index) => length !== own[index]?.length))
      throw new CompressError({
        code: 'malformed',
        message: 'the training checkpoint belongs to another set of parameters',
        hint: 'Begin anew with --fresh.',
      });
    own.forEach((buffer, index) => {
      buffer.set(buffers[index]!);
    });
    memory?.restore(kept.at(-1)!);
    const known = (value: number | undefined): number | undefined =>
      Number.isNaN(value ?? Number.NaN) ? undefined : value;
    this.#step = step;
    this.#seen = facts.seen ?? 0;
    this.#start = known(facts.start);
    this.#bestValue = known(facts.best);
    this.#bestStep = facts.bestStep ?? 0;
    this.#failures = facts.failures ?? 0;
  }
}
