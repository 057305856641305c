import { resolve } from 'node:path';
import { findChannelGroups } from '../analysis/channel-groups/groups.ts';
import { openModel } from '../artifact/open.ts';
import { WeightCosts } from '../curvature/removal/costs.ts';
import { printable } from '../reporters/style.ts';
import { formatTable } from '../reporters/table.ts';
import { separated } from '../stages/slice/prepare.ts';
import type { CommandResult } from './command.ts';

const columns = [
  { title: 'kind' },
  { title: 'channels', align: 'right' },
  { title: 'parameters each', align: 'right' },
  { title: 'computed by' },
  { title: 'read by' },
] as const;

/** `a, b and 3 more`. */
const listed = (names: readonly string[]): string =>
  names.length <= 3
    ? names.map(printable).join(', ')
    : `${names.slice(0, 2).map(printable).join(', ')} and ${names.length - 2} more`;

/** What can be removed from a model together, and what cannot and why. Weights are not read. */
export const showGroups = async (path: string, directory: string): Promise<CommandResult> => {
  const { program: given } = await openModel(resolve(directory, path));
  const program = separated(given);
  const { groups, excluded } = findChannelGroups(program);
  const costs = new WeightCosts(program, 'all');
  const data = {
    groups: groups.map((group) => ({
      name: group.name,
      kind: group.kind,
      channels: group.count,
      parametersEach: costs.saving(group, 0).parameters,
      block: group.block,
      statistics: group.statistics,
      producers: group.producers.map(({ site }) => site.name),
      consumers: group.consumers.map(({ site }) => site.name),
      constants: group.slices.map(({ value, axis }) => ({ name: value.name, axis })),
    })),
    excluded,
  };
  const rows = data.groups.map((group) => [
    group.statistics === undefined ? group.kind : `${group.kind} (under ${group.statistics})`,
    String(group.channels),
    String(group.parametersEach),
    listed(group.producers),
    listed(group.consumers),
  ]);
  return {
    data,
    text: (style) =>
      [
        groups.length > 0 ? formatTable(columns, rows, style) : 'No channel of this model can be removed.',
        ...(excluded.length > 0 ? ['', style.bold('What stays, and why')] : []),
        ...excluded.map(({ site, count, reason }) => `${printable(site)}: ${count} outputs, ${printable(reason)}`),
      ].join('\n'),
  };
};
