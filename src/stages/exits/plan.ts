import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites } from '../../analysis/sites.ts';
import type { Model } from '../../ir/model.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import type { ExitsOptions } from './options.ts';
import { type ExitPlaces, findExitPlaces } from './places.ts';

/** Share of the operations that a sample has cost at each exit, for people. */
export const describePlaces = ({ chosen, operations }: ExitPlaces): string =>
  chosen.map((place) => `${place.block.name} (${((100 * place.operations) / operations).toFixed(0)} %)`).join(', ');

/** Where exits would stand; weights stay as they are. */
export const planExits = (model: Model, options: ExitsOptions): StagePlan => {
  const places = findExitPlaces(model.program, options);
  const sites = findSites(model.program).map((site): SitePlan => {
    const { byteLength } = siteTensor(site);
    const { name, op, rows, columns } = site;
    return { site: name, op, rows, columns, action: 'kept', bytesBefore: byteLength, bytesAfter: byteLength };
  });
  const memoryBytes = places.chosen.reduce((sum, { features }) => sum + 16 * (features + 1) ** 2, 0);
  return {
    sites,
    memoryBytes,
    findings: [{ kind: 'fact', text: `exits behind ${describePlaces(places)} of the operations` }],
  };
};
