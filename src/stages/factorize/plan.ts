import { siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import type { FactorizeOptions } from './options.ts';
import { mostRank, selectFactored } from './select.ts';

/** Share of the chosen weights that stays, as far as it is known before the data are seen. */
const plannedShare = ({ budget }: FactorizeOptions): number => (budget.kind === 'share' ? budget.share : 1);

const row = (site: Site, action: string, bytesAfter: number, reason?: string): SitePlan => ({
  site: site.name,
  op: site.op,
  rows: site.rows,
  columns: site.columns,
  action,
  ...(reason === undefined ? {} : { reason }),
  bytesBefore: siteTensor(site).byteLength,
  bytesAfter: Math.round(bytesAfter),
});

/** What would be factorised; ranks follow from the data, so sizes are what the budget makes of them on the average. */
export const planFactorize = (model: Model, options: FactorizeOptions): StagePlan => {
  const { chosen, kept, findings } = selectFactored(model.program, options);
  const share = plannedShare(options);
  const sites = [
    ...chosen.map((site) =>
      row(site, `rank up to ${mostRank(site)} or dense, ${options.method}`, share * siteTensor(site).byteLength),
    ),
    ...[...kept].map(([site, why]) => row(site, 'kept', siteTensor(site).byteLength, why)),
  ];
  const moments = chosen.reduce((sum, { rows, columns }) => sum + 8 * (rows ** 2 + columns ** 2), 0);
  const largest = Math.max(0, ...chosen.map(({ rows, columns }) => 8 * 4 * (rows ** 2 + columns ** 2)));
  return { sites, memoryBytes: moments + largest, findings };
};
