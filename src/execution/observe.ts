import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { Emit } from '../recipe/events.ts';
import { bindingOf, runSample } from './feeds.ts';
import { checkSignal } from './interrupt.ts';
import { type Engine, withSession } from './session.ts';

/** Gathers a statistic of one value: it is shown the value's array of every run, in the order of samples. */
export interface Observer {
  observe(array: NumericArray, run: number): void | Promise<void>;
}

/** A statistic that a method needs: of which value, gathered by whom. */
export interface Observation {
  readonly value: Value;
  readonly observer: Observer;
}

/** Observers by value: each value is fetched once, whoever wants it. */
export const groupByValue = (observations: readonly Observation[]): Map<Value, Observer[]> => {
  const groups = new Map<Value, Observer[]>();
  for (const { value, observer } of observations) groups.set(value, [...(groups.get(value) ?? []), observer]);
  return groups;
};

/** Shows one run's arrays to the observers of their values. */
export const feedObservers = async (
  groups: ReadonlyMap<Value, readonly Observer[]>,
  arrays: ReadonlyMap<string, NumericArray>,
  run: number,
): Promise<void> => {
  for (const [value, observers] of groups) {
    const array = arrays.get(value.name);
    if (array) for (const observer of observers) await observer.observe(array, run);
  }
};

export interface ObserveOptions {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly engine: Engine;
  readonly observations: readonly Observation[];
  /** Task of progress events. */
  readonly task: string;
  readonly scratch?: { readonly directory: string };
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/**
 * One pass of a whole program over the data for all observations together. For large programs, or where later
 * weights depend on earlier ones, walk block by block instead (runBlocks).
 */
export const observeProgram = async (options: ObserveOptions): Promise<void> => {
  const { program, dataset, engine, observations, task, emit, signal } = options;
  const groups = groupByValue(observations);
  const fetch = [...groups.keys()];
  const binding = bindingOf(program);
  const sessionOptions = { fetch, signal, scratchDirectory: options.scratch?.directory };
  await withSession(engine, program, sessionOptions, async (session) => {
    const wanted = fetch.map((value) => value.name);
    let run = 0;
    for (let index = 0; index < dataset.length; index++) {
      checkSignal(signal);
      const sample = await dataset.sample(index);
      const item = `sample ${index} of ${dataset.description}`;
      for await (const { outputs } of runSample(session, sample, binding, item, wanted))
        await feedObservers(groups, outputs, run++);
      emit({ type: 'progress', task, done: index + 1, total: dataset.length, unit: 'samples' });
    }
  });
};
