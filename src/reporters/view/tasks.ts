import type { TimedEvent } from '../../recipe/events.ts';
import { RateMeter } from '../rate.ts';

type ProgressEvent = Extract<TimedEvent, { type: 'progress' }>;

/** One piece of work that counts its progress. */
export interface Task {
  readonly name: string;
  /** A part of the task whose name it begins with: `rounding weights: block 3, observing`. */
  readonly part: boolean;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  readonly item: string | undefined;
  readonly perSecond: number | undefined;
  readonly remainingMs: number | undefined;
  readonly updatedMs: number;
}

/** Parts that have not moved for so long are no longer worth a line. */
const partRestsMs = 4_000;

/** `a: b` is a part of `a`. */
const partSeparator = ': ';

/** The tasks of one step of a run, by their progress events. */
export class Tasks {
  readonly #tasks = new Map<string, Task>();
  readonly #meters = new Map<string, RateMeter>();

  update(event: ProgressEvent): void {
    const { task: name, done, total, unit, item, atMs } = event;
    const finished = done >= total;
    const part = name.includes(partSeparator);
    const meter = this.#meters.get(name) ?? new RateMeter();
    this.#meters.set(name, meter);
    const pace = meter.update(atMs, done, total);
    this.#tasks.delete(name);
    if (finished) this.#meters.delete(name);
    if (finished && part) return;
    this.#tasks.set(name, {
      name,
      part,
      done,
      total,
      unit,
      item,
      perSecond: pace.perSecond,
      remainingMs: finished ? undefined : pace.remainingMs,
      updatedMs: atMs,
    });
  }

  /** Rates measured before a pause say nothing about what comes after it. */
  forgetRates(): void {
    this.#meters.clear();
  }

  /** What goes on at a time: the task that moved last, and the part that moved last where there is one. */
  current(nowMs: number): readonly Task[] {
    const recent = [...this.#tasks.values()].reverse();
    const main = recent.find((task) => !task.part);
    const part = recent.find((task) => task.part && nowMs - task.updatedMs < partRestsMs);
    return [main, part].filter((task) => task !== undefined);
  }
}
