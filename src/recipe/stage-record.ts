import type { ReportStage, ReportTraining } from '../report/schema.ts';
import type { CheckpointStore } from '../stages/stage.ts';
import type { Emit, RunEvent } from './events.ts';

type Step = ReportTraining['steps'][number];

/** What a stage told of its sites and its training. */
export type StageRecord = Pick<ReportStage, 'sites' | 'training'>;

/** Steps of a training that are kept, evenly spaced. */
const mostSteps = 400;

const recordKey = 'record of events';

interface Stored {
  readonly sites: readonly (readonly [string, ReportStage['sites'][number]['facts']])[];
  readonly steps: readonly (readonly [number, Step])[];
  readonly judged: readonly (readonly [number, number])[];
}

/**
 * Keeps what a stage tells of sites and training, for the report. It is stored with every checkpoint of the stage, so
 * that a run that was killed and goes on reports the same as one that was not; what is told again replaces what was
 * told before, and later facts of a site join the earlier ones.
 */
export class StageRecorder {
  readonly #store: CheckpointStore;
  readonly #sites = new Map<string, ReportStage['sites'][number]['facts']>();
  readonly #steps = new Map<number, Step>();
  readonly #judged = new Map<number, number>();

  constructor(store: CheckpointStore) {
    this.#store = store;
    const known = store.get(recordKey);
    if (known) this.#restore(JSON.parse(new TextDecoder().decode(known)) as Stored);
  }

  /** The stage's checkpoints: with each of them the record so far is kept. */
  get checkpoints(): CheckpointStore {
    return {
      get: (key) => this.#store.get(key),
      put: (key, bytes) => {
        this.#store.put(recordKey, this.#bytes());
        this.#store.put(key, bytes);
      },
    };
  }

  /** Listens to what is emitted, and hands it on. */
  listening(emit: Emit): Emit {
    return (event) => {
      this.#listen(event);
      emit(event);
    };
  }

  get record(): StageRecord {
    const sites = [...this.#sites].map(([site, facts]) => ({ site, facts }));
    if (this.#steps.size === 0 && this.#judged.size === 0) return { sites };
    const steps = [...this.#steps.values()].sort((a, b) => a.step - b.step);
    const judged = [...this.#judged].map(([step, value]) => ({ step, value })).sort((a, b) => a.step - b.step);
    return { sites, training: { steps, judged } };
  }

  #listen(event: RunEvent): void {
    if (event.type === 'site-finished') this.#sites.set(event.site, { ...this.#sites.get(event.site), ...event.facts });
    else if (event.type === 'training-judged') this.#judged.set(event.step, event.value);
    else if (event.type === 'training-step') {
      const { type: _, stage: __, steps, ...step } = event;
      const stride = Math.ceil(steps / mostSteps);
      if (step.step === 1 || step.step === steps || step.step % stride === 0) this.#steps.set(step.step, step);
    }
  }

  #bytes(): Uint8Array {
    const stored: Stored = { sites: [...this.#sites], steps: [...this.#steps], judged: [...this.#judged] };
    return new TextEncoder().encode(JSON.stringify(stored));
  }

  #restore({ sites, steps, judged }: Stored): void {
    for (const [site, facts] of sites) this.#sites.set(site, facts);
    for (const [number, step] of steps) this.#steps.set(number, step);
    for (const [step, value] of judged) this.#judged.set(step, value ?? Number.NaN);
  }
}
