import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { findShareLanes } from './groups.ts';
import type { ShareOptions } from './options.ts';
import type { Stitch } from './stitch.ts';
import { stretchesOf } from './stretches.ts';

const row = (site: Site, action: string, share: number, reason?: string): SitePlan => {
  const { byteLength } = siteTensor(site);
  const { name, op, rows, columns } = site;
  const facts = { site: name, op, rows, columns, action, bytesBefore: byteLength };
  return { ...facts, bytesAfter: Math.round(share * byteLength), ...(reason === undefined ? {} : { reason }) };
};

/** The front stays as it is; the other model is not looked at. */
const planStitch = (model: Model, { with: path, after, from }: Stitch): StagePlan => {
  const sites = findSites(model.program).map((site) => row(site, 'kept in front of the stitch', 1));
  const text = `after layer ${after} the model goes on in layer ${from} of ${path}`;
  return { sites, memoryBytes: 0, findings: [{ kind: 'fact', text }] };
};

/** Which layers would share; what each group shares follows from the data. */
export const planShare = (model: Model, options: ShareOptions): StagePlan => {
  if (options.stitch) return planStitch(model, options.stitch);
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
