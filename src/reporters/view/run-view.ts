import type { Finding, MetricResult, TimedEvent } from '../../recipe/events.ts';
import { formatBytes } from '../../recipe/quantity.ts';
import { formatResult } from '../../report/numbers.ts';
import { printable } from '../style.ts';
import type { RunFacts } from '../summary.ts';
import { Series } from './series.ts';
import { beginStep, endStep, plannedSteps, type Step } from './steps.ts';
import { Tasks } from './tasks.ts';

type EventOf<Type extends TimedEvent['type']> = Extract<TimedEvent, { type: Type }>;

/** A line of the log: what a stage, a format or the run has to say. */
export interface LogLine {
  readonly kind: 'note' | 'warning' | 'bad';
  readonly text: string;
}

/** Lines of the log and sites that are kept. */
const mostKept = 500;

const keepLast = <Item>(list: Item[], item: Item): void => {
  list.push(item);
  if (list.length > mostKept) list.shift();
};

const resultWords = ({ metric, dataset }: MetricResult): string =>
  `${printable(metric)}${dataset ? ` on ${printable(dataset)}` : ''}`;

/** What the events of a run so far come to, for anything that shows a run while it goes on. */
export class RunView {
  recipe = '';
  output = '';
  version = '';
  steps: readonly Step[] = [];
  tasks = new Tasks();
  readonly series = new Series();
  readonly sites: EventOf<'site-finished'>[] = [];
  readonly log: LogLine[] = [];
  training: EventOf<'training-step'> | undefined;
  /** The held-out losses of the present training. */
  judged: EventOf<'training-judged'>[] = [];
  memory = { now: 0, peak: 0, limit: 0 };
  paused = false;
  atMs = 0;
  finished: EventOf<'run-finished'> | undefined;
  readonly #before: RunFacts['before'][number][] = [];
  readonly #after: RunFacts['after'][number][] = [];
  readonly #gates: RunFacts['gates'][number][] = [];
  readonly #artifacts: RunFacts['artifacts'][number][] = [];

  /** The step that goes on, or undefined before the first and after the last. */
  get current(): Step | undefined {
    return this.steps.find((step) => step.state === 'running');
  }

  get facts(): RunFacts {
    return { before: this.#before, after: this.#after, gates: this.#gates, artifacts: this.#artifacts };
  }

  apply(event: TimedEvent): void {
    this.atMs = event.atMs;
    switch (event.type) {
      case 'run-started':
        this.#start(event);
        return;
      case 'stage-started':
        this.#begin('stage', event.index, event.atMs);
        return;
      case 'stage-cached':
        this.#begin('stage', event.index, event.atMs);
        this.#endStage(event.index, 'cached', event.atMs);
        return;
      case 'stage-finished':
        this.#endStage(event.index, 'done', event.atMs);
        for (const finding of event.findings) this.#finding(finding);
        return;
      case 'progress':
        this.tasks.update(event);
        return;
      case 'training-step':
        this.training = event;
        this.series.add(event);
        return;
      case 'training-judged':
        this.judged.push(event);
        return;
      case 'site-finished':
        keepLast(this.sites, event);
        this.series.add(event);
        return;
      case 'metric':
        this.#metric(event);
        return;
      case 'artifact-written':
        this.#artifacts.push(event);
        this.#written(event);
        return;
      case 'gate':
        this.#gates.push(event);
        this.#say(event.passed ? 'note' : 'bad', `gate ${event.gate} ${event.passed ? 'passed' : 'FAILED'}`);
        return;
      case 'message':
        this.#say(
          event.severity === 'warning' ? 'warning' : 'note',
          `${event.site ? `${event.site}: ` : ''}${event.text}`,
        );
        return;
      case 'resources':
        this.memory = {
          ...this.memory,
          now: event.memoryBytes,
          peak: Math.max(this.memory.peak, event.memoryBytes),
        };
        return;
      case 'paused':
      case 'resumed':
        this.paused = event.type === 'paused';
        this.tasks.forgetRates();
        return;
      case 'run-finished':
        this.#finish(event);
    }
  }

  /** A log that is begun anew tells another run. */
  #start(event: EventOf<'run-started'>): void {
    for (const list of [this.log, this.#before, this.#after, this.#gates, this.#artifacts]) list.length = 0;
    this.finished = undefined;
    this.paused = false;
    this.recipe = event.recipe;
    this.output = event.output;
    this.version = event.version;
    this.memory = { now: 0, peak: 0, limit: event.maxMemoryBytes };
    this.steps = plannedSteps(event.stages, event.formats);
    this.#begin('before', 0, event.atMs);
  }

  #step(kind: Step['kind'], index: number): Step | undefined {
    return this.steps.filter((step) => step.kind === kind)[index];
  }

  #begin(kind: Step['kind'], index: number, atMs: number): void {
    const step = this.#step(kind, index);
    if (step?.state !== 'waiting') return;
    beginStep(this.steps, step, atMs);
    this.tasks = new Tasks();
    this.series.clear();
    this.sites.length = 0;
    this.training = undefined;
    this.judged = [];
  }

  #endStage(index: number, state: 'done' | 'cached', atMs: number): void {
    const step = this.#step('stage', index);
    if (step) endStep(step, state, atMs);
    const next = this.#step('stage', index + 1);
    if (!next) this.#begin('write', 0, atMs);
  }

  #metric(event: EventOf<'metric'>): void {
    const words = `${resultWords(event.result)} ${formatResult(event.result)}`;
    if (event.model === 'before') {
      this.#before.push(event.result);
      const step = this.#step('before', 0);
      if (step) step.result = [step.result, words].filter(Boolean).join(', ');
      if (event.result.metric === 'size' && this.steps.every(({ kind }) => kind !== 'stage'))
        this.#begin('write', 0, event.atMs);
      return;
    }
    this.#after.push({ format: event.format, result: event.result });
    this.#begin('after', 0, event.atMs);
    this.#say('note', `after, ${event.format}: ${words}`);
  }

  #written(event: EventOf<'artifact-written'>): void {
    const index = this.#artifacts.length - 1;
    this.#begin('write', index, event.atMs);
    const step = this.#step('write', index);
    if (step) {
      endStep(step, 'done', event.atMs);
      step.result = formatBytes(event.bytes);
    }
    if (this.#step('write', index + 1)) this.#begin('write', index + 1, event.atMs);
    else this.#begin('after', 0, event.atMs);
  }

  #finding({ kind, text, site }: Finding): void {
    this.#say(
      kind === 'fact' ? 'note' : 'warning',
      `${kind === 'fallback' ? 'fallback: ' : ''}${site ? `${site}: ` : ''}${text}`,
    );
  }

  #say(kind: LogLine['kind'], text: string): void {
    keepLast(this.log, { kind, text: printable(text) });
  }

  #finish(event: EventOf<'run-finished'>): void {
    this.finished = event;
    this.paused = false;
    this.memory = { ...this.memory, peak: Math.max(this.memory.peak, event.peakMemoryBytes) };
    const good = event.outcome === 'done' || event.outcome === 'gate-failed';
    const { current } = this;
    if (current) endStep(current, good ? 'done' : 'failed', event.atMs);
    if (event.error) this.#say('bad', event.error);
  }
}
