/** How far a step of a run is. */
export type StepState = 'waiting' | 'running' | 'done' | 'cached' | 'failed';

/** One step of a run: measuring, a stage, writing a format. */
export interface Step {
  readonly kind: 'before' | 'stage' | 'write' | 'after';
  readonly name: string;
  state: StepState;
  startedMs: number | undefined;
  endedMs: number | undefined;
  /** What came of it, in a few words. */
  result: string;
}

const step = (kind: Step['kind'], name: string): Step => ({
  kind,
  name,
  state: 'waiting',
  startedMs: undefined,
  endedMs: undefined,
  result: '',
});

/** The steps that a run will take, in their order. */
export const plannedSteps = (stages: readonly string[], formats: readonly string[]): Step[] => [
  step('before', 'measure before'),
  ...stages.map((name) => step('stage', name)),
  ...formats.map((name) => step('write', name)),
  step('after', 'measure after'),
];

/** Begins a step; those before it that are still open have ended. */
export const beginStep = (steps: readonly Step[], wanted: Step, atMs: number): void => {
  for (const other of steps.slice(0, steps.indexOf(wanted))) {
    if (other.state === 'waiting') other.state = 'done';
    endStep(other, 'done', atMs);
  }
  if (wanted.state !== 'waiting') return;
  wanted.state = 'running';
  wanted.startedMs = atMs;
};

/** Ends a step that runs. */
export const endStep = (wanted: Step, state: StepState, atMs: number): void => {
  if (wanted.state !== 'running') return;
  wanted.state = state;
  wanted.endedMs = atMs;
};
