import type { ExpertLayer } from '../../analysis/experts/layers.ts';
import type { RoutingTrace } from '../../analysis/experts/routing.ts';
import { internalError } from '../../errors.ts';
import { numbersOfArray } from '../../execution/arrays.ts';
import { type ObserveOptions, observeProgram } from '../../execution/observe.ts';

/** Runs a program over data and notes which experts every token is sent to. */
export const traceRouting = async (
  layers: readonly ExpertLayer[],
  options: Omit<ObserveOptions, 'observations' | 'task'>,
): Promise<RoutingTrace> => {
  const seen = layers.map((): Uint16Array[] => []);
  const observations = layers.map(({ choice }, layer) => ({
    value: choice,
    observer: {
      observe: (array: Parameters<typeof numbersOfArray>[0]) =>
        void seen[layer]!.push(Uint16Array.from(numbersOfArray(array))),
    },
  }));
  await observeProgram({ ...options, observations, task: 'following tokens through experts' });
  const traces = layers.map(({ experts, chosen }, layer) => {
    const parts = seen[layer]!;
    const choices = new Uint16Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      choices.set(part, at);
      at += part.length;
    }
    return { experts: experts.length, chosen, choices };
  });
  const tokens = traces[0] ? traces[0].choices.length / traces[0].chosen : 0;
  if (traces.some(({ choices, chosen }) => choices.length !== tokens * chosen))
    throw internalError('sparse layers see different numbers of tokens');
  return { tokens, layers: traces };
};
