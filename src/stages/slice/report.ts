import { findSites } from '../../analysis/sites.ts';
import { WeightCosts } from '../../curvature/removal/costs.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';

const percent = (after: number, before: number): string => `${((100 * after) / Math.max(1, before)).toFixed(1)} %`;

/** What the model was and is: parameters, block parameters, operations. */
export const describeCosts = (original: Program, program: Program): Finding[] => {
  const [before, after] = [new WeightCosts(original, 'all').total, new WeightCosts(program, 'all').total];
  const [blocksBefore, blocksAfter] = [
    new WeightCosts(original, 'blocks').total.parameters,
    new WeightCosts(program, 'blocks').total.parameters,
  ];
  return [
    {
      kind: 'fact',
      text: `left: ${percent(after.parameters, before.parameters)} of the parameters, ${percent(blocksAfter, blocksBefore)} of those of blocks, ${percent(after.operations, before.operations)} of the operations of weights`,
      facts: {
        parametersBefore: before.parameters,
        parameters: after.parameters,
        blockParametersBefore: blocksBefore,
        blockParameters: blocksAfter,
        operationsBefore: before.operations,
        operations: after.operations,
      },
    },
  ];
};

/** Sites that have become smaller, or have gone. */
export const describeGroups = (
  original: Program,
  program: Program,
): { readonly site: string; readonly facts: Readonly<Record<string, number>> }[] => {
  const left = new Map(findSites(program).map((site) => [site.name, site]));
  return findSites(original).flatMap(({ name, rows, columns }) => {
    const now = left.get(name);
    if (now && now.rows === rows && now.columns === columns) return [];
    const facts = { rowsBefore: rows, columnsBefore: columns, rows: now?.rows ?? 0, columns: now?.columns ?? 0 };
    return [{ site: name, facts }];
  });
};
