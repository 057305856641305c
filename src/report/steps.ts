import type { TimedEvent } from '../recipe/events.ts';

/** How far a step of a run is. */
export type StepState = 'waiting' | 'running' | 'done' | 'cached' | 'failed';

/** One step of a run: measuring, a stage, writing a format. */
export interface Step {
  readonly kind: 'before' | 'stage' | 'write' | 'after';
  readonly name: string;
  state: StepState;
  startedMs: number | undefined;
  endedMs: number | undefined;
}

const step = (kind: Step['kind'], name: string): Step => ({
  kind,
  name,
  state: 'waiting',
  startedMs: undefined,
  endedMs: undefined,
});

/** The steps that a run will take, in their order. */
const plannedSteps = (stages: readonly string[], formats: readonly string[]): Step[] => [
  step('before', 'measure before'),
  ...stages.map((name) => step('stage', name)),
  ...formats.map((name) => step('write', name)),
  step('after', 'measure after'),
];

/** Begins a step; those before it that are still open have ended. */
const beginStep = (steps: readonly Step[], wanted: Step, atMs: number): void => {
  for (const other of steps.slice(0, steps.indexOf(wanted))) {
    if (other.state === 'waiting') other.state = 'done';
    endStep(other, 'done', atMs);
  }
  if (wanted.state !== 'waiting') return;
  wanted.state = 'running';
  wanted.startedMs = atMs;
};

/** Ends a step that runs. */
const endStep = (wanted: Step, state: StepState, atMs: number): void => {
  if (wanted.state !== 'running') return;
  wanted.state = state;
  wanted.endedMs = atMs;
};

/** Follows the steps of a run by its events. */
export class StepTracker {
  steps: readonly Step[] = [];
  #written = 0;

  get current(): Step | undefined {
    return this.steps.find((step) => step.state === 'running');
  }

  /** Takes an event in. True when another step has begun. */
  apply(event: TimedEvent): boolean {
    const before = this.current;
    this.#follow(event);
    return this.current !== before && this.current !== undefined;
  }

  #follow(event: TimedEvent): void {
    const { atMs } = event;
    switch (event.type) {
      case 'run-started':
        this.steps = plannedSteps(event.stages, event.formats);
        this.#written = 0;
        this.#begin('before', 0, atMs);
        return;
      case 'stage-started':
        this.#begin('stage', event.index, atMs);
        return;
      case 'stage-cached':
        this.#begin('stage', event.index, atMs);
        this.#endStage(event.index, 'cached', atMs);
        return;
      case 'stage-finished':
        this.#endStage(event.index, 'done', atMs);
        return;
      case 'metric':
        if (event.model === 'after') this.#begin('after', 0, atMs);
        else if (event.result.metric === 'size' && !this.#step('stage', 0)) this.#begin('write', 0, atMs);
        return;
      case 'artifact-written':
        this.#written += 1;
        if (this.#step('write', this.#written)) this.#begin('write', this.#written, atMs);
        else this.#begin('after', 0, atMs);
        return;
      case 'run-finished':
        if (this.current)
          endStep(this.current, event.outcome === 'done' || event.outcome === 'gate-failed' ? 'done' : 'failed', atMs);
    }
  }

  #step(kind: Step['kind'], index: number): Step | undefined {
    return this.steps.filter((step) => step.kind === kind)[index];
  }

  #begin(kind: Step['kind'], index: number, atMs: number): void {
    const step = this.#step(kind, index);
    if (step?.state === 'waiting') beginStep(this.steps, step, atMs);
  }

  #endStage(index: number, state: 'done' | 'cached', atMs: number): void {
    const step = this.#step('stage', index);
    if (step) endStep(step, state, atMs);
    if (!this.#step('stage', index + 1)) this.#begin('write', 0, atMs);
  }
}
