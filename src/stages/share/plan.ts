import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { cacheGroups, findCaches, widthOf } from './cache/find-caches.ts';
import type { CacheOptions } from './cache/run.ts';
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

/** Weights stay as they are. */
const planCache = (model: Model, { group, ratio }: CacheOptions): StagePlan => {
  const caches = findCaches(model.program);
  const numbers = caches.reduce((sum, cache) => sum + widthOf(cache), 0);
  const memoryBytes = cacheGroups(caches, group).reduce(
    (sum, own) => sum + 8 * own.reduce((width, cache) => width + widthOf(cache), 0) ** 2,
    0,
  );
  const text = `a position takes ${Math.floor((1 - ratio) * numbers)} numbers of keys and values instead of ${numbers}`;
  const sites = findSites(model.program).map((site) => row(site, 'kept', 1));
  return { sites, memoryBytes, findings: [{ kind: 'fact', text }] };
};

/** The front stays as it is; the other model is not looked at. */
const planStitch = (model: Model, { with: path, after, from }: Stitch): StagePlan => {
  const sites = findSites(model.program).map((site) => row(site, 'kept in front of the stitch', 1));
  const text = `after layer ${after} the model goes on in layer ${from} of ${path}`;
  return { sites, memoryBytes: 0, findings: [{ kind: 'fact', text }] };
};

/** Which layers would share; what each group shares follows from the data. */
export const planShare = (model: Model, options: ShareOptions): StagePlan => {
  if (options.cache) return planCache(model, options.cache);
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
