import type { Finding, MetricResult, TimedEvent } from '../../recipe/events.ts';
import { formatBytes } from '../../recipe/quantity.ts';
import { formatResult } from '../../report/numbers.ts';
import { type Step, StepTracker } from '../../report/steps.ts';
import { printable } from '../style.ts';
import type { RunFacts } from '../summary.ts';
import { Series } from './series.ts';
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
  readonly #tracker = new StepTracker();
  /** What came of the steps, in a few words. */
  readonly #results = new Map<Step, string>();
  readonly #before: RunFacts['before'][number][] = [];
  readonly #after: RunFacts['after'][number][] = [];
  readonly #gates: RunFacts['gates'][number][] = [];
  readonly #artifacts: RunFacts['artifacts'][number][] = [];

  get steps(): readonly Step[] {
    return this.#tracker.steps;
  }

  /** What came of a step, in a few words. */
  resultOf(step: Step): string {
    return this.#results.get(step) ?? '';
  }

  get facts(): RunFacts {
    return { before: this.#before, after: this.#after, gates: this.#gates, artifacts: this.#artifacts };
  }

  apply(event: TimedEvent): void {
    this.atMs = event.atMs;
    if (this.#tracker.apply(event)) this.#clearStep();
    switch (event.type) {
      case 'run-started':
        this.#start(event);
        return;
      case 'stage-started':
      case 'stage-cached':
        return;
      case 'stage-finished':
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
        this.#tell(
          this.steps.filter((step) => step.kind === 'write')[this.#artifacts.length - 1],
          formatBytes(event.bytes),
        );
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
    this.#results.clear();
  }

  /** What belongs to the step before is of no interest in the next. */
  #clearStep(): void {
    this.tasks = new Tasks();
    this.series.clear();
    this.sites.length = 0;
    this.training = undefined;
    this.judged = [];
  }

  #metric(event: EventOf<'metric'>): void {
    const words = `${resultWords(event.result)} ${formatResult(event.result)}`;
    if (event.model === 'before') {
      this.#before.push(event.result);
      this.#tell(this.steps[0], words);
      return;
    }
    this.#after.push({ format: event.format, result: event.result });
    this.#say('note', `after, ${event.format}: ${words}`);
  }

  #tell(step: Step | undefined, words: string): void {
    if (step) this.#results.set(step, [this.#results.get(step), words].filter(Boolean).join(', '));
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
    if (event.error) this.#say('bad', event.error);
  }
}
