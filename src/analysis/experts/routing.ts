/** Which experts the tokens of some data went to, in every sparse layer. */
export interface RoutingTrace {
  readonly tokens: number;
  readonly layers: readonly LayerTrace[];
}

export interface LayerTrace {
  readonly experts: number;
  /** Experts of each token. */
  readonly chosen: number;
  /** (tokens, chosen): numbers of experts, all tokens in the order of the data. */
  readonly choices: Uint16Array;
}

/** How often each expert was chosen: (experts). */
export const countsOf = ({ experts, choices }: LayerTrace): number[] => {
  const counts = new Array<number>(experts).fill(0);
  for (const expert of choices) counts[expert]! += 1;
  return counts;
};

/**
 * How evenly a layer uses its experts: the entropy of their shares over that of equal shares; 1 for even use, 0 for one
 * expert alone.
 */
export const evennessOf = (layer: LayerTrace): number => {
  const total = layer.choices.length;
  if (total === 0 || layer.experts < 2) return 1;
  const entropy = countsOf(layer).reduce(
    (sum, count) => (count > 0 ? sum - (count / total) * Math.log(count / total) : sum),
    0,
  );
  return entropy / Math.log(layer.experts);
};

/** How often tokens that one layer sent to expert i went to expert j in the next: counts, (experts, experts of the next). */
export const transitionsOf = (layer: LayerTrace, next: LayerTrace, tokens: number): Float64Array => {
  const counts = new Float64Array(layer.experts * next.experts);
  for (let token = 0; token < tokens; token++)
    for (let from = 0; from < layer.chosen; from++)
      for (let to = 0; to < next.chosen; to++) {
        const i = layer.choices[token * layer.chosen + from]!;
        const j = next.choices[token * next.chosen + to]!;
        counts[i * next.experts + j]! += 1;
      }
  return counts;
};

/** A step from an expert of one layer to one of the next that many tokens take. */
export interface PathStep {
  readonly from: number;
  readonly to: number;
  /** Share of all steps between the two layers, and how many times that of experts that do not depend on each other. */
  readonly share: number;
  readonly lift: number;
}

/** The steps between two layers that most tokens take, the most frequent first. */
export const frequentSteps = (layer: LayerTrace, next: LayerTrace, tokens: number, most: number): PathStep[] => {
  const counts = transitionsOf(layer, next, tokens);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return [];
  const [before, after] = [countsOf(layer), countsOf(next)];
  const steps = [...counts].map((count, index): PathStep => {
    const [from, to] = [Math.floor(index / next.experts), index % next.experts];
    const expected = (before[from]! / layer.choices.length) * (after[to]! / next.choices.length);
    return { from, to, share: count / total, lift: expected > 0 ? count / total / expected : 0 };
  });
  return steps.sort((a, b) => b.share - a.share || a.from - b.from || a.to - b.to).slice(0, most);
};
