import { expect } from 'vitest';
import {
  type ChannelGroup,
  type ChannelGroups,
  findChannelGroups,
} from '../../../src/analysis/channel-groups/groups.ts';
import { measureCost } from '../../../src/analysis/cost.ts';
import { readSiteMatrix, writeSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { verify } from '../../../src/ir/verify.ts';
import { largestDifference, randomFeeds, runProgram } from '../../ir/run.ts';

/** Every third channel, at least one, never all. */
export const someChannels = ({ count }: ChannelGroup): number[] =>
  Array.from({ length: count }, (_, channel) => channel).filter((channel) => channel % 3 === 1);

/** Sets to zero what the consumers make of some channels. */
export const killChannels = (group: ChannelGroup, channels: readonly number[]): void => {
  for (const { site, lines } of group.consumers) {
    const matrix = Float32Array.from(readSiteMatrix(site));
    const dead = new Set(channels.flatMap((channel) => lines[channel]!));
    for (let row = 0; row < site.rows; row++) for (const column of dead) matrix[row * site.columns + column] = 0;
    writeSiteMatrix(site, matrix);
  }
};

/**
 * The theorem: channels that every consumer multiplies by zero may go, and no output changes. Groups over whose
 * channels statistics are taken are only cut, to see that shapes hold together.
 * @returns how many parameters went.
 */
export const expectDeadChannelsToGo = async (
  program: Program,
  shapes: Readonly<Record<string, readonly number[]>>,
  choose: (groups: ChannelGroups) => readonly ChannelGroup[] = ({ groups }) => groups,
): Promise<number> => {
  const feeds = randomFeeds(program, shapes);
  let gone = 0;
  for (const { name, statistics, consumers } of choose(findChannelGroups(program))) {
    const dead = cloneProgram(program);
    const found = findChannelGroups(dead);
    const group = found.groups.find((one) => one.name === name)!;
    const channels = someChannels(group);
    const comparable = statistics === undefined && consumers.length > 0;
    if (comparable) killChannels(group, channels);
    const before = await runProgram(dead, feeds);
    const parameters = measureCost(dead).parameters;
    found.cut(new Map([[name, channels]]));
    expect(verify(dead), name).toEqual([]);
    expect(measureCost(dead).parameters, name).toBeLessThan(parameters);
    gone += parameters - measureCost(dead).parameters;
    const after = await runProgram(dead, feeds);
    expect([...after.keys()], name).toEqual([...before.keys()]);
    for (const [output, array] of before) {
      expect(after.get(output)!.shape, `${name}: ${output}`).toEqual(array.shape);
      if (comparable) expect(largestDifference(array, after.get(output)!), `${name}: ${output}`).toBeLessThan(2e-4);
    }
  }
  return gone;
};
