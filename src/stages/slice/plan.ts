import { findChannelGroups } from '../../analysis/channel-groups/groups.ts';
import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites } from '../../analysis/sites.ts';
import { gramBytes } from '../../calibration/statistics/gram.ts';
import { WeightCosts } from '../../curvature/removal/costs.ts';
import { CompressError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { foldConstants } from '../../ir/edit/fold-constants.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { findCandidates } from './candidates.ts';
import { costMeasureOf, scopeOf, stepsOf } from './measures.ts';
import type { SliceOptions } from './options.ts';
import { summaryOf } from './options.ts';
import { refusePacked } from './prepare.ts';

/** How much of what goes. */
const goes = (total: number, { ratio, measure }: SliceOptions): string =>
  measure === 'latency'
    ? `as many operations go as take ${(100 * ratio).toFixed(0)} % of the time on this machine,`
    : `${Math.round(total * ratio)} of ${total} ${measure.replace('_', ' ')} go`;

/** What may go, found without reading a weight: how much of each site depends on the data. */
export const planSlice = (model: Model, options: SliceOptions): StagePlan => {
  refusePacked(model.program);
  const program = cloneProgram(model.program);
  foldConstants(program);
  const candidates = findCandidates(program, findChannelGroups(program), options);
  if (candidates.pools.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: 'no channel of this model may go under these options',
      where: { key: 'kinds' },
      hint: 'See `compress inspect --groups` for what can be removed, and why the rest cannot.',
    });
  const costs = new WeightCosts(program, scopeOf(options.measure));
  const measure = costMeasureOf(options.measure);
  const touched = new Map<string, string>();
  let readers = 0;
  for (const pool of candidates.pools) {
    for (const { site } of pool.consumers) {
      touched.set(site.name, `reads ${pool.units.length} ${pool.groups[0]!.kind} that may go`);
      readers = Math.max(readers, 3 * gramBytes(site));
    }
    for (const { producers } of pool.groups)
      for (const { site } of producers)
        touched.set(site.name, `computes ${pool.units.length} ${pool.groups[0]!.kind} that may go`);
  }
  const left = 1 - options.ratio;
  const rows = findSites(program).map((site): SitePlan => {
    const bytesBefore = siteTensor(site).byteLength;
    const common = { site: site.name, op: site.op, rows: site.rows, columns: site.columns, bytesBefore };
    const why = touched.get(site.name);
    if (why === undefined)
      return { ...common, action: 'kept', reason: 'none of its channels may go', bytesAfter: bytesBefore };
    return {
      ...common,
      action: `sliced by ${options.method}`,
      reason: why,
      bytesAfter: Math.round(bytesBefore * left),
    };
  });
  const steps = stepsOf(options);
  return {
    sites: rows,
    memoryBytes: readers,
    findings: [
      ...candidates.findings,
      {
        kind: 'fact',
        text: `${goes(costs.total[measure], options)} in ${steps === 1 ? 'one step' : `${steps} steps`} (${summaryOf(options.method)}); sizes after are the mean of what the ratio leaves`,
      },
    ],
  };
};
