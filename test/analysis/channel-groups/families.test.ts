import { describe, expect, it } from 'vitest';
import { type ChannelKind, findChannelGroups } from '../../../src/analysis/channel-groups/groups.ts';
import { verify } from '../../../src/ir/verify.ts';
import { buildGolden, goldenNames, largestDifference, openGolden, runProgram } from '../../families/golden.ts';
import { killChannels, someChannels } from './dead-channels.ts';

describe('every family has heads and neurons that can go', () => {
  it.each(goldenNames)('%s', async (name) => {
    const golden = openGolden(name);
    const shown = findChannelGroups(buildGolden(golden)).groups;
    for (const kind of ['heads', 'neurons'] satisfies ChannelKind[]) {
      const wanted = shown.find((group) => group.kind === kind);
      expect(wanted, kind).toBeDefined();
      const program = buildGolden(golden);
      const found = findChannelGroups(program);
      const group = found.groups.find((one) => one.name === wanted!.name)!;
      const channels = someChannels(group);
      expect(group.statistics).toBeUndefined();
      killChannels(group, channels);
      const before = await runProgram(program, golden.arrays);
      found.cut(new Map([[group.name, channels]]));
      expect(verify(program)).toEqual([]);
      const after = await runProgram(program, golden.arrays);
      for (const [output, array] of before)
        expect(largestDifference(array, after.get(output)), `${kind}: ${output}`).toBeLessThan(1e-4);
    }
  });
});
