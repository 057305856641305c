import { recipeDifferences, siteDifferences } from '../../report/comparison/differences.ts';
import { formatNumber } from '../../report/numbers.ts';
import { printable } from '../../reporters/style.ts';
import { formatTable } from '../../reporters/table.ts';
import type { ComparisonSection } from './section.ts';

/** Sites that people are shown; the document for machines has all. */
const mostSites = 20;

/** What the recipes of two runs ask for differently. */
export const recipes: ComparisonSection = {
  name: 'recipes',
  async compare({ runs }) {
    if (!runs) return undefined;
    const found = recipeDifferences(runs);
    if (found.length === 0) return undefined;
    return {
      data: found,
      text: (style) =>
        formatTable(
          [{ title: 'key of the recipe' }, ...runs.map(({ name }) => ({ title: name }))],
          found.map(({ key, values }) => [key, ...values.map((value) => printable(value ?? '–'))]),
          style,
        ),
    };
  },
};

/** Sites of two runs whose errors differ most. */
export const sites: ComparisonSection = {
  name: 'sites',
  async compare({ runs }) {
    if (!runs) return undefined;
    const found = siteDifferences(...runs);
    if (found.length === 0) return undefined;
    return {
      data: found,
      text: (style) =>
        formatTable(
          [
            { title: 'site' },
            { title: 'error' },
            ...runs.map(({ name }) => ({ title: name, align: 'right' as const })),
            { title: 'change', align: 'right' },
          ],
          found
            .slice(0, mostSites)
            .map(({ site, error, first, second }) => [
              printable(site),
              error,
              formatNumber(first, 3),
              formatNumber(second, 3),
              first > 0 ? `${formatNumber(second / first, 3)}×` : '',
            ]),
          style,
        ),
    };
  },
};
