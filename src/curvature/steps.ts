import type { Dataset, NumericArray, Sample } from '../calibration/dataset.ts';
import { bindingOf, runSample } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import { type Engine, withSession } from '../execution/session.ts';
import type { Program } from '../ir/graph.ts';

/** Samples that take one run each. */
export interface IndependentSamples {
  readonly dataset: Dataset;
  /** Outputs that a next step takes over. */
  readonly carried: ReadonlySet<string>;
}

/** Steps of a sequence that are looked at, evenly spread; all of shorter ones. */
const mostSteps = 256;

/** Outputs that samples carry from step to step. */
export const carriedOutputs = async (dataset: Dataset): Promise<ReadonlySet<string>> => {
  const first = dataset.length > 0 ? await dataset.sample(0) : undefined;
  return new Set(first?.kind === 'sequence' ? first.carry.keys() : []);
};

/**
 * Steps of sequences as samples of their own, with the state that the steps before have left: gradients are not taken
 * through it. Other samples stay as they are.
 */
export const independentSamples = async (
  program: Program,
  dataset: Dataset,
  context: {
    readonly engine: Engine;
    readonly scratch: { readonly directory: string };
    readonly signal: AbortSignal;
  },
): Promise<IndependentSamples> => {
  const carried = await carriedOutputs(dataset);
  if (carried.size === 0) return { dataset, carried };
  const { engine, scratch, signal } = context;
  const binding = bindingOf(program);
  const steps: Sample[] = [];
  await withSession(engine, program, { signal, scratchDirectory: scratch.directory }, async (session) => {
    const share = Math.max(1, Math.floor(mostSteps / dataset.length));
    for (let index = 0; index < dataset.length; index++) {
      const sample = await dataset.sample(index);
      const count = sample.kind === 'sequence' ? sample.steps.length : 1;
      let step = 0;
      for await (const { feeds } of runSample(session, sample, binding, `sample ${index} of ${dataset.description}`)) {
        checkSignal(signal);
        const chosen = Math.floor((step * share) / count) !== Math.floor(((step + 1) * share) / count);
        if (chosen || count <= share) steps.push({ kind: 'arrays', arrays: new Map<string, NumericArray>(feeds) });
        step++;
      }
    }
  });
  return {
    carried,
    dataset: {
      description: `steps of ${dataset.description}`,
      length: steps.length,
      fingerprint: `${dataset.fingerprint}:steps`,
      sample: async (index) => steps[index]!,
    },
  };
};
