import { performance } from 'node:perf_hooks';

/** A frame follows another one after this time at the earliest; and at the latest, so that the clock moves. */
const shortestMs = 100;
const longestMs = 1000;
/** Share of the time that drawing may take. */
const greatestShare = 0.0075;
/** Frames whose median cost decides the pace: one that the system has interrupted says nothing. */
const remembered = 9;

/** Decides when to draw: seldom enough that drawing takes no noticeable part of the time, whatever a frame costs. */
export class Pacer {
  readonly #draw: () => void;
  readonly #costsMs: number[] = [];
  #lastMs = Number.NEGATIVE_INFINITY;
  #spentMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  /** Time from one frame to the next in milliseconds, by what the last ones have cost. */
  get intervalMs(): number {
    const sorted = [...this.#costsMs].sort((a, b) => a - b);
    const cost = sorted[Math.floor(sorted.length / 2)] ?? 0;
    return Math.min(longestMs, Math.max(shortestMs, cost / greatestShare));
  }

  /** Time that all frames together have taken. */
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
    const begin = performance.now();
    this.#draw();
    this.#lastMs = performance.now();
    this.#costsMs.push(this.#lastMs - begin);
    this.#spentMs += this.#lastMs - begin;
    if (this.#costsMs.length > remembered) this.#costsMs.shift();
    this.#idle = setTimeout(() => this.request(), longestMs).unref();
  }

  /** Draws no more until the next request. */
  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#idle);
    this.#timer = undefined;
  }
}
