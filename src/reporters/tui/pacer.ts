import { performance } from 'node:perf_hooks';

/** A frame follows another one after this time at the earliest, and at the latest. */
const shortestMs = 100;
const longestMs = 3000;
/** Without events the clock still moves this often, where frames cost little. */
const idleMs = 1000;
/** Share of the time that drawing may take. */
const greatestShare = 0.0075;
/** Frames whose median cost decides the pace. */
const remembered = 9;

/** Processor time of this process in milliseconds: what a frame takes from the run, however busy the machine is. */
const processorMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Decides when to draw: seldom enough that drawing takes no noticeable part of the time, whatever a frame costs. */
export class Pacer {
  readonly #draw: () => void;
  readonly #costsMs: number[] = [];
  /** When the first frame was drawn. */
  #beginMs: number | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  #spentMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  /** Time from one frame to the next in milliseconds, by what the last ones and all together have cost. */
  get intervalMs(): number {
    const sorted = [...this.#costsMs].sort((a, b) => a - b);
    const cost = sorted[Math.floor(sorted.length / 2)] ?? 0;
    const elapsed = this.#beginMs === undefined ? 0 : performance.now() - this.#beginMs;
    const debt = Math.max(0, this.#spentMs - greatestShare * elapsed);
    return Math.min(longestMs, Math.max(shortestMs, (cost + debt) / greatestShare));
  }

  /** Processor time that all frames together have taken. */
  get spentMs(): number {
    return this.#spentMs;
  }

  /** Asks for a frame as soon as one is due. */
  request(): void {
    if (this.#timer) return;
    const wait = Math.max(0, this.#lastMs + this.intervalMs - performance.now());
    this.#timer = setTimeout(() => this.now(), wait).unref();
  }

  /** Draws at once. */
  now(): void {
    this.stop();
    const begin = processorMs();
    this.#draw();
    const cost = processorMs() - begin;
    this.#lastMs = performance.now();
    this.#spentMs += cost;
    // The first frame also loads and compiles what draws: it says nothing of the next ones.
    if (this.#beginMs !== undefined) this.#costsMs.push(cost);
    this.#beginMs ??= this.#lastMs - cost;
    if (this.#costsMs.length > remembered) this.#costsMs.shift();
    this.#idle = setTimeout(() => this.request(), Math.max(idleMs, this.intervalMs)).unref();
  }

  /** Draws no more until the next request. */
  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#idle);
    this.#timer = undefined;
  }
}
