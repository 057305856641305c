import { measureCost } from '../../analysis/cost.ts';
import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import { gramObstacle } from '../../calibration/statistics/gram.ts';
import type { Model } from '../../ir/model.ts';
import { factorObstacle } from '../factorize/factor-site.ts';
import { mostRank } from '../factorize/select.ts';
import { selectSites } from '../select-sites.ts';
import { prepareForSlicing } from '../slice/prepare.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import type { AutoOptions } from './options.ts';
import { chainsOf, findParts } from './parts.ts';

/** Share of the bytes that will be left, where the budget says so. */
const bytesShare = ({ budget }: AutoOptions): number => (budget.kind === 'share' ? budget.share : 1);

/** What may be done to a site, of the kinds that are allowed. */
const actionsFor = (site: Site, options: AutoOptions, channels: string | undefined): string[] => {
  const { kinds, bits } = options;
  return [
    ...(kinds.includes('low-rank') && !gramObstacle(site) && !factorObstacle(site) && mostRank(site) >= 1
      ? [`rank up to ${mostRank(site)}`]
      : []),
    ...(channels === undefined ? [] : [channels]),
    ...(kinds.includes('bits') ? [`${bits.join(', ')} bits`] : []),
  ];
};

/**
 * What may be done to every weight, found without reading one. What is done follows from the data; the sizes shown
 * are the budget's, spread evenly.
 */
export const planAuto = (model: Model, options: AutoOptions): StagePlan => {
  const program = prepareForSlicing(model.program);
  const sites = findSites(program);
  const { chosen, kept, findings } = selectSites(sites, options);
  const structural = chosen.filter((site) => !gramObstacle(site));
  const { parts } = findParts(
    program,
    structural,
    options.kinds.includes('removal') ? options.channels : [],
    chainsOf(options),
  );
  const channelsOf = new Map(
    parts.flatMap(({ pool, sites: own }) =>
      pool ? own.map(({ name }) => [name, `up to ${pool.units.length} ${pool.groups[0]!.kind} fewer`] as const) : [],
    ),
  );
  const share = bytesShare(options);
  const rows = chosen.map((site): SitePlan => {
    const actions = actionsFor(site, options, channelsOf.get(site.name));
    const { byteLength } = siteTensor(site);
    const { name, op, rows: height, columns } = site;
    const common = { site: name, op, rows: height, columns, bytesBefore: byteLength };
    if (actions.length === 0)
      return { ...common, action: 'kept', reason: 'no kind that is allowed applies', bytesAfter: byteLength };
    return { ...common, action: `dense, ${actions.join(', ')}`, bytesAfter: Math.round(share * byteLength) };
  });
  const left = [...kept].map(([site, reason]): SitePlan => {
    const { byteLength } = siteTensor(site);
    const { name, op, rows: height, columns } = site;
    return {
      site: name,
      op,
      rows: height,
      columns,
      action: 'kept',
      reason,
      bytesBefore: byteLength,
      bytesAfter: byteLength,
    };
  });
  const moments = structural.reduce((sum, { rows: height, columns }) => sum + 8 * (height ** 2 + columns ** 2), 0);
  return { sites: [...rows, ...left], memoryBytes: moments + measureCost(program).storedBytes, findings };
};
