import { siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { findShareLanes } from './groups.ts';
import type { ShareOptions } from './options.ts';
import { stretchesOf } from './stretches.ts';

const row = (site: Site, action: string, share: number, reason?: string): SitePlan => {
  const { byteLength } = siteTensor(site);
  const { name, op, rows, columns } = site;
  const facts = { site: name, op, rows, columns, action, bytesBefore: byteLength };
  return { ...facts, bytesAfter: Math.round(share * byteLength), ...(reason === undefined ? {} : { reason }) };
};

/** Which layers would share; what each group shares follows from the data. */
export const planShare = (model: Model, options: ShareOptions): StagePlan => {
  const { lanes, kept, findings } = findShareLanes(model.program, options);
  const sites = stretchesOf(lanes, options).flatMap(({ name, runs }) =>
    runs
      .filter(({ first, end }) => end === first + 1)
      .flatMap(({ groups }) => groups.flatMap((group) => group.sites))
      .map((site) => row(site, `${options.method}: ${name}`, options.share)),
  );
  const left = [...kept].map(([site, why]) => row(site, 'kept', 1, why));
  const moments = lanes
    .flatMap((lane) => lane.sites)
    .reduce((sum, { rows, columns }) => sum + 8 * (rows ** 2 + columns ** 2), 0);
  return { sites: [...sites, ...left], memoryBytes: moments, findings };
};
