/** Which tokens are a rationale, and what they weigh. */
export interface Rationale {
  readonly begin: readonly number[];
  readonly end: readonly number[];
  /** Of the tokens of a rationale, its markers among them; others weigh 1. */
  readonly weight: number;
}

const standsAt = (ids: Int32Array, marker: readonly number[], at: number): boolean =>
  marker.every((id, index) => ids[at + index] === id);

/** Weight of each token of a window. A rationale that does not end in the window goes on to its end. */
export const rationaleWeights = (ids: Int32Array, { begin, end, weight }: Rationale): Float32Array => {
  const weights = new Float32Array(ids.length).fill(1);
  for (let at = 0; at < ids.length; at++) {
    if (!standsAt(ids, begin, at)) continue;
    let stop = at + begin.length;
    while (stop < ids.length && !standsAt(ids, end, stop)) stop++;
    stop = Math.min(ids.length, stop + end.length);
    weights.fill(weight, at, stop);
    at = stop - 1;
  }
  return weights;
};
