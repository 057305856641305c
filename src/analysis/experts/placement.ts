import { countsOf, type RoutingTrace } from './routing.ts';

/** Bytes of every expert: one list for each layer. */
export type ExpertBytes = readonly (readonly number[])[];

/** Experts that stay on the fast device: for each layer whether each does. */
export type Residents = readonly (readonly boolean[])[];

export interface Placement {
  readonly residents: Residents;
  readonly bytes: number;
}

interface Place {
  readonly layer: number;
  readonly expert: number;
  readonly bytes: number;
  readonly calls: number;
}

const residentsFrom = (sizes: ExpertBytes, chosen: Iterable<Pick<Place, 'layer' | 'expert'>>): Residents => {
  const residents = sizes.map((layer) => layer.map(() => false));
  for (const { layer, expert } of chosen) residents[layer]![expert] = true;
  return residents;
};

/** Every expert of a trace with what it takes and how often it is called. */
const placesOf = (trace: RoutingTrace, sizes: ExpertBytes): Place[] =>
  trace.layers.flatMap((layer, index) =>
    countsOf(layer).map((calls, expert) => ({ layer: index, expert, bytes: sizes[index]![expert]!, calls })),
  );

/** Paths that are looked at for a placement: of more, those that most tokens take. */
const mostPaths = 512;

/** Tokens by the set of experts that they call on their whole way: the places of each set, and how many take it. */
const wholePaths = (trace: RoutingTrace, places: readonly Place[]): { places: readonly Place[]; tokens: number }[] => {
  const starts: number[] = [];
  let next = 0;
  for (const { experts } of trace.layers) {
    starts.push(next);
    next += experts;
  }
  const paths = new Map<string, { places: readonly Place[]; tokens: number }>();
  for (let token = 0; token < trace.tokens; token++) {
    const called = trace.layers.flatMap(({ chosen, choices }, layer) =>
      [...choices.subarray(token * chosen, (token + 1) * chosen)]
        .sort((a, b) => a - b)
        .map((expert) => starts[layer]! + expert),
    );
    const key = called.join();
    const known = paths.get(key);
    if (known) known.tokens++;
    else paths.set(key, { places: called.map((index) => places[index]!), tokens: 1 });
  }
  return [...paths.values()].sort((a, b) => b.tokens - a.tokens).slice(0, mostPaths);
};

/** Share of the memory that is given to whole paths before the rest goes to the experts that are called most. */
export interface PlacementOptions {
  readonly capacityBytes: number;
  readonly pathShare: number;
}

/**
 * Chooses the experts that stay on the fast device, in two steps (HAQ, arXiv 2508.07329): first whole paths through the
 * layers, those with most tokens for the bytes that they add, up to a share of the memory; then the experts that are
 * called most for their bytes. With a share of 0 and experts of one size that gives the most hits of any placement.
 */
export const placeExperts = (
  trace: RoutingTrace,
  sizes: ExpertBytes,
  { capacityBytes, pathShare }: PlacementOptions,
): Placement => {
  const places = placesOf(trace, sizes);
  const chosen = new Set<Place>();
  let bytes = 0;
  const add = (place: Place): void => {
    if (chosen.has(place)) return;
    chosen.add(place);
    bytes += place.bytes;
  };
  const added = (path: readonly Place[]): number =>
    path.reduce((sum, place) => sum + (chosen.has(place) ? 0 : place.bytes), 0);
  let open = pathShare > 0 ? wholePaths(trace, places) : [];
  while (open.length > 0) {
    const fitting = open.filter((path) => bytes + added(path.places) <= pathShare * capacityBytes);
    let best = fitting[0];
    for (const path of fitting)
      if (best && path.tokens * Math.max(1, added(best.places)) > best.tokens * Math.max(1, added(path.places)))
        best = path;
    if (!best) break;
    for (const place of best.places) add(place);
    const taken = best;
    open = fitting.filter((path) => path !== taken);
  }
  const rest = places.filter((place) => !chosen.has(place)).sort((a, b) => b.calls * a.bytes - a.calls * b.bytes);
  for (const place of rest) if (bytes + place.bytes <= capacityBytes) add(place);
  return { residents: residentsFrom(sizes, chosen), bytes };
};

/** What a placement does for the tokens of a trace. */
export interface PlacementFacts {
  /** Share of the calls of experts that find them on the fast device. */
  readonly hitRate: number;
  /** Share of the tokens that find all of theirs there. */
  readonly wholeTokens: number;
  /** Bytes that a token has to wait for, on the mean. */
  readonly missedBytes: number;
}

/** Hits and misses of a fixed placement. */
export const fixedPlacement = (trace: RoutingTrace, sizes: ExpertBytes, residents: Residents): PlacementFacts => {
  let [calls, hits, whole, missed] = [0, 0, 0, 0];
  for (let token = 0; token < trace.tokens; token++) {
    let complete = true;
    for (const [index, { chosen, choices }] of trace.layers.entries())
      for (const expert of choices.subarray(token * chosen, (token + 1) * chosen)) {
        calls++;
        if (residents[index]![expert]) hits++;
        else {
          complete = false;
          missed += sizes[index]![expert]!;
        }
      }
    if (complete) whole++;
  }
  const tokens = Math.max(1, trace.tokens);
  return { hitRate: calls > 0 ? hits / calls : 1, wholeTokens: whole / tokens, missedBytes: missed / tokens };
};

/**
 * Hits and misses of a memory that keeps what was called last and starts with a placement: a missed expert takes the
 * place of those that have not been called for the longest time. One that is larger than the whole memory never stays.
 */
export const leastRecentlyUsed = (
  trace: RoutingTrace,
  sizes: ExpertBytes,
  { residents, bytes: start }: Placement,
  capacityBytes: number,
): PlacementFacts => {
  const kept = new Map<number, number>();
  const width = Math.max(1, ...trace.layers.map(({ experts }) => experts));
  for (const [layer, flags] of residents.entries())
    for (const [expert, stays] of flags.entries()) if (stays) kept.set(layer * width + expert, sizes[layer]![expert]!);
  let bytes = start;
  let [calls, hits, whole, missed] = [0, 0, 0, 0];
  for (let token = 0; token < trace.tokens; token++) {
    let complete = true;
    for (const [index, { chosen, choices }] of trace.layers.entries())
      for (const expert of choices.subarray(token * chosen, (token + 1) * chosen)) {
        const key = index * width + expert;
        const size = sizes[index]![expert]!;
        calls++;
        if (kept.delete(key)) hits++;
        else {
          complete = false;
          missed += size;
          bytes += size;
        }
        kept.set(key, size);
        for (const [oldest, taken] of kept) {
          if (bytes <= capacityBytes) break;
          kept.delete(oldest);
          bytes -= taken;
        }
      }
    if (complete) whole++;
  }
  const tokens = Math.max(1, trace.tokens);
  return { hitRate: calls > 0 ? hits / calls : 1, wholeTokens: whole / tokens, missedBytes: missed / tokens };
};
