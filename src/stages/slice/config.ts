import { findSites, type Site } from '../../analysis/sites.ts';
import type { Program } from '../../ir/graph.ts';
import type { Model, Role } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';

type Config = Model['config'];

/** The one number that all sites of a role agree on; undefined where they differ, or one of them is gone. */
const agreed = (
  sites: readonly Site[],
  role: Role,
  count: number,
  numberOf: (site: Site) => number,
): number | undefined => {
  const numbers = sites.filter((site) => site.role === role).map(numberOf);
  return numbers.length === count && numbers.every((number) => number === numbers[0]) ? numbers[0] : undefined;
};

const countOf = (program: Program, role: Role): number =>
  findSites(program).filter((site) => site.role === role).length;

/** Key of a configuration that states the inner width of its layers. */
const widthKeys = ['intermediate_size', 'n_inner', 'ffn_dim', 'hidden_dim'];

/**
 * The configuration of a sliced model. Where all layers have lost alike, the numbers that it states are changed; where
 * they differ no configuration can state it, and the finding says so.
 */
export const sliceConfig = (
  config: Config,
  original: Program,
  program: Program,
): { readonly config: Config; readonly findings: readonly Finding[] } => {
  if (!config) return { config, findings: [] };
  const changed: Record<string, unknown> = { ...config };
  const sites = findSites(program);
  const differing: string[] = [];
  const before = findSites(original);
  const width = (list: readonly Site[]): number | undefined =>
    agreed(list, 'down', countOf(original, 'down'), ({ columns }) => columns);
  const key = widthKeys.find((name) => config[name] === width(before));
  if (key !== undefined) {
    const now = width(sites);
    if (now === undefined) differing.push('inner widths');
    else changed[key] = now;
  }
  const heads = Number(config.num_attention_heads);
  const full = agreed(before, 'o', countOf(original, 'o'), ({ columns }) => columns);
  if (heads > 0 && full !== undefined) {
    const headWidth = full / heads;
    const left = agreed(sites, 'o', countOf(original, 'o'), ({ columns }) => columns);
    if (left === undefined) differing.push('numbers of heads');
    else if (left !== full) {
      changed.num_attention_heads = left / headWidth;
      changed.head_dim = headWidth;
      const keys = agreed(sites, 'k', countOf(original, 'k'), ({ rows }) => rows);
      if (keys !== undefined) changed.num_key_value_heads = keys / headWidth;
    }
  }
  const findings: Finding[] =
    differing.length === 0
      ? []
      : [
          {
            kind: 'warning',
            text: `layers now differ in their ${differing.join(' and ')}, which config.json cannot state: it describes the model before, the graph is the model`,
          },
        ];
  return { config: changed, findings };
};
