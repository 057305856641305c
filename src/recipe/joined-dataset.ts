import type { Dataset } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import { contentKey } from './cache-keys.ts';

/** Several datasets one after the other; undefined for none. */
export const joinDatasets = (datasets: readonly Dataset[]): Dataset | undefined => {
  const [only, second] = datasets;
  if (!only || !second) return only;
  return {
    description: datasets.map((dataset) => dataset.description).join(' + '),
    length: datasets.reduce((sum, dataset) => sum + dataset.length, 0),
    fingerprint: contentKey(datasets.map((dataset) => dataset.fingerprint)),
    sample: async (index) => {
      let rest = index;
      for (const dataset of datasets) {
        if (rest < dataset.length) return dataset.sample(rest);
        rest -= dataset.length;
      }
      throw internalError(`sample ${index} is asked for, and there are only ${index - rest}`);
    },
  };
};
