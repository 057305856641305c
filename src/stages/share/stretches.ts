import { cutPlaces, groupOf, type ShareGroup, type ShareLane } from './groups.ts';
import type { ShareOptions } from './options.ts';

/** Neighbouring layers of a stretch from `first` up to `end`: groups that share there, each by itself. */
export interface StretchRun {
  readonly first: number;
  readonly end: number;
  readonly groups: readonly ShareGroup[];
}

/** Layers in a row, and the runs of them that may share: a cut into runs is to be chosen. Every layer alone is a run. */
export interface Stretch {
  readonly name: string;
  readonly count: number;
  readonly runs: readonly StretchRun[];
}

/** Neighbours that share at most where the cut is searched. */
const mostNeighbours = 4;

/** Pairs [first, end) of `count` layers that runs may be. */
const rangesOf = (count: number, whole: boolean): (readonly [number, number])[] => {
  const ranges: (readonly [number, number])[] = [];
  for (let first = 0; first < count; first++)
    for (let end = first + 1; end <= count; end++)
      if (end === first + 1 || (whole ? end - first === count : end - first <= mostNeighbours))
        ranges.push([first, end]);
  return ranges;
};

const stretchOf = (lanes: readonly ShareLane[], places: readonly number[], whole: boolean): Stretch => {
  const named = lanes.length > 1 ? 'layers' : lanes[0]!.part;
  return {
    name: groupOf(
      named,
      places.map((place) => lanes[0]!.sites[place]!),
    ).name,
    count: places.length,
    runs: rangesOf(places.length, whole).map(([first, end]) => ({
      first,
      end,
      groups: lanes.map(({ part, sites }) =>
        groupOf(
          part,
          places.slice(first, end).map((place) => sites[place]!),
        ),
      ),
    })),
  };
};

/** Lanes whose layers lie in the same blocks: what makes up a whole block. */
const byBlocks = (lanes: readonly ShareLane[]): ShareLane[][] => {
  const found = new Map<string, ShareLane[]>();
  for (const lane of lanes) {
    const key = lane.sites.map(({ block }) => block).join(' ');
    found.set(key, [...(found.get(key) ?? []), lane]);
  }
  return [...found.values()];
};

/**
 * What may share with what: each part of the blocks by itself, or whole blocks (`unit`), in groups that are given, or in
 * runs of up to four neighbours that are to be chosen.
 */
export const stretchesOf = (
  lanes: readonly ShareLane[],
  options: Pick<ShareOptions, 'group' | 'pattern' | 'unit'>,
): Stretch[] => {
  const searched = options.group === 'auto';
  const together = options.unit === 'block' ? byBlocks(lanes) : lanes.map((lane) => [lane]);
  return together.flatMap((joined) =>
    cutPlaces(joined[0]!.sites.length, options).map((places) => stretchOf(joined, places, !searched)),
  );
};
