import type { Finding, TimedEvent } from '../recipe/events.ts';
import { formatBytes } from '../recipe/quantity.ts';
import { formatDuration, formatNumber, formatResult } from '../report/numbers.ts';
import { RateMeter } from './rate.ts';
import type { Reporter, ReporterTarget } from './reporter.ts';
import { printable } from './style.ts';
import { formatOutcome, formatSummary, type RunFacts, shownPath } from './summary.ts';

type ProgressEvent = Extract<TimedEvent, { type: 'progress' }>;

/** On a terminal the live line is redrawn at most this often; elsewhere a progress line is written this often. */
const redrawEveryMs = 100;
const lineEveryMs = 5_000;

const findingPrefix = { fact: 'note', warning: 'warning', fallback: 'fallback' } as const;

/** For people: a live line on a terminal, plain lines elsewhere, and the before/after table at the end. */
export const plainReporter = (target: ReporterTarget) => new PlainReporter(target);

class PlainReporter implements Reporter {
  readonly #target: ReporterTarget;
  readonly #meters = new Map<string, RateMeter>();
  readonly #facts = {
    before: [] as RunFacts['before'][number][],
    after: [] as RunFacts['after'][number][],
    gates: [] as RunFacts['gates'][number][],
    artifacts: [] as RunFacts['artifacts'][number][],
  };
  #stages: readonly string[] = [];
  #lastProgressMs = Number.NEGATIVE_INFINITY;
  #liveShown = false;

  constructor(target: ReporterTarget) {
    this.#target = target;
  }

  listener(event: TimedEvent): void {
    const { style } = this.#target;
    switch (event.type) {
      case 'run-started':
        this.#stages = event.stages;
        for (const list of Object.values(this.#facts)) list.length = 0;
        this.#line(
          `${style.bold('compress')} ${event.version}  ${printable(event.recipe)} → ${printable(shownPath(event.output))}`,
        );
        return;
      case 'stage-started':
        this.#line(this.#stageTitle(event.index, event.stage));
        return;
      case 'stage-cached':
        this.#line(`${this.#stageTitle(event.index, event.stage)} ${style.dim('taken from the cache')}`);
        return;
      case 'stage-finished':
        for (const finding of event.findings) this.#finding(finding);
        return;
      case 'progress':
        this.#progress(event);
        return;
      case 'metric':
        if (event.model === 'before') this.#facts.before.push(event.result);
        else this.#facts.after.push({ format: event.format, result: event.result });
        this.#line(
          `  ${event.model === 'before' ? 'before' : `after  ${event.format}`}  ${printable(event.result.metric)}${event.result.dataset ? ` on ${printable(event.result.dataset)}` : ''}: ${formatResult(event.result)}`,
        );
        return;
      case 'artifact-written':
        this.#facts.artifacts.push(event);
        this.#line(`  wrote ${event.format} ${style.dim(formatBytes(event.bytes))}`);
        return;
      case 'gate':
        this.#facts.gates.push(event);
        return;
      case 'message':
        this.#line(
          `  ${event.severity === 'warning' ? style.warn('warning: ') : ''}${event.site ? `${printable(event.site)}: ` : ''}${printable(event.text)}`,
        );
        return;
      case 'paused':
        this.#line(`  ${style.warn('paused')}`);
        return;
      case 'resumed':
        this.#line('  going on');
        return;
      case 'site-finished':
      case 'resources':
      case 'training-step':
      case 'training-judged':
        return;
      case 'run-finished':
        this.#finish(event);
    }
  }

  close(): void {
    this.#clear();
  }

  #stageTitle(index: number, stage: string): string {
    return `${this.#target.style.bold(`[${index + 1}/${this.#stages.length}]`)} ${stage}`;
  }

  #finding(finding: Finding): void {
    const { style } = this.#target;
    const prefix = `${findingPrefix[finding.kind]}: `;
    const site = finding.site ? `${printable(finding.site)}: ` : '';
    this.#line(
      `  ${finding.kind === 'fact' ? style.dim(prefix) : style.warn(prefix)}${site}${printable(finding.text)}`,
    );
  }

  #progress(event: ProgressEvent): void {
    const known = this.#meters.get(event.task);
    const meter = known ?? new RateMeter();
    this.#meters.set(event.task, meter);
    if (!known && !this.#target.live) this.#lastProgressMs = event.atMs;
    const pace = meter.update(event.atMs, event.done, event.total);
    const finished = event.done >= event.total;
    if (finished) this.#meters.delete(event.task);
    const wait = this.#target.live ? redrawEveryMs : lineEveryMs;
    if (event.atMs - this.#lastProgressMs < wait && !(finished && this.#target.live)) return;
    this.#lastProgressMs = event.atMs;
    const percent = event.total > 0 ? Math.floor((100 * event.done) / event.total) : 100;
    const parts = [
      `  ${printable(event.task)}`,
      `${percent}%`,
      event.unit === 'bytes'
        ? `${formatBytes(event.done)} of ${formatBytes(event.total)}`
        : `${event.done}/${event.total} ${event.unit}`,
      pace.perSecond !== undefined &&
        (event.unit === 'bytes'
          ? `${formatBytes(pace.perSecond)}/s`
          : `${formatNumber(pace.perSecond, 3)} ${event.unit}/s`),
      pace.remainingMs !== undefined && !finished && `${formatDuration(pace.remainingMs)} left`,
      event.item !== undefined && printable(event.item),
    ];
    const text = parts.filter((part) => part !== false).join('  ');
    if (this.#target.live) this.#live(text);
    else this.#target.write(`${text}\n`);
  }

  #finish(event: Extract<TimedEvent, { type: 'run-finished' }>): void {
    const { style } = this.#target;
    this.#clear();
    const complete = event.outcome === 'done' || event.outcome === 'gate-failed';
    const summary = formatSummary(this.#facts, style);
    if (complete && summary) this.#target.write(`\n${summary}\n`);
    this.#target.write(`\n${formatOutcome(event, style)}\n`);
  }

  #line(text: string): void {
    this.#clear();
    this.#target.write(`${text}\n`);
  }

  #live(text: string): void {
    const room = Math.max(20, this.#target.columns - 1);
    const cut = [...text].length > room ? `${[...text].slice(0, room - 1).join('')}…` : text;
    this.#target.write(`\r\u001b[2K${cut}`);
    this.#liveShown = true;
  }

  #clear(): void {
    if (this.#liveShown) this.#target.write('\r\u001b[2K');
    this.#liveShown = false;
  }
}
