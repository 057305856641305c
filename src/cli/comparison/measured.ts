import { measuredAlone } from '../../recipe/choose-metrics.ts';
import { evaluateModel } from '../../recipe/evaluate-model.ts';
import { comparisonNotes, comparisonRows } from '../../report/comparison/rows.ts';
import { comparisonTable } from '../../report/comparison/table.ts';
import { formatMetricTable } from '../../reporters/summary.ts';
import { formatTable } from '../../reporters/table.ts';
import { withProgress } from '../live-progress.ts';
import type { ComparisonSection } from './section.ts';

/** What data say of both; without data, what their runs have measured. */
export const measured: ComparisonSection = {
  name: 'metrics',
  async compare({ a, b, data, metrics: names, seed, runs }, context) {
    if (runs && data.length === 0) {
      const compared = comparisonRows(runs);
      const { columns, rows } = comparisonTable(compared);
      const [first, second] = runs.map(({ report }) => report.metrics);
      return {
        data: { a: first, b: second },
        text: (style) => [formatTable(columns, rows, style), ...comparisonNotes(compared)].join('\n\n'),
      };
    }
    const shared = { data, seed, directory: context.io.directory, signal: context.signal };
    const { before, after } = await withProgress(context, async (emit) => ({
      after: await evaluateModel({
        ...shared,
        ...(names.length > 0 ? { metrics: names } : {}),
        model: b,
        reference: a,
        emit,
      }),
      before: await evaluateModel({
        ...shared,
        ...(names.length > 0 ? { metrics: measuredAlone(names) } : {}),
        model: a,
        emit,
      }),
    }));
    return {
      data: { a: before, b: after },
      text: (style) =>
        formatMetricTable({ before, after: after.map((result) => ({ format: '', result })) }, style, {
          before: a,
          after: b,
        }),
    };
  },
};
