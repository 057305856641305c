import { readSiteMatrix } from '../../../analysis/site-weights.ts';
import { findSites } from '../../../analysis/sites.ts';
import type { Dataset } from '../../../calibration/dataset.ts';
import { predictLoss } from '../../../curvature/predict.ts';
import { curvatureOf } from '../../../curvature/store.ts';
import { CompressError } from '../../../errors.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageContext } from '../../stage.ts';
import { needsCurvature, type WeightUnit } from './plan.ts';

/**
 * What the curvature predicts for the integers that were chosen, to be held against the divergence that is measured on
 * the written files: the sum over the weights that were rounded by it, each as if it were the only one that changed.
 * Nothing where the model cannot be differentiated.
 */
export const predictedLoss = async (
  original: Program,
  units: readonly WeightUnit[],
  dataset: Dataset,
  context: StageContext,
): Promise<Finding[]> => {
  const rounded = units.filter(needsCurvature);
  if (rounded.length === 0) return [];
  const names = new Set(rounded.map(({ name }) => name));
  const before = new Map(findSites(original).map((site) => [site.name, site]));
  try {
    const { sites } = await curvatureOf({ program: original, dataset, context, wanted: ({ name }) => names.has(name) });
    let loss = 0;
    let weights = 0;
    for (const { name, sites: members } of rounded) {
      const [known, site] = [sites.get(name), before.get(name)];
      if (!known || !site) continue;
      const [was, is] = [readSiteMatrix(site), readSiteMatrix(members[0])];
      const predicted = await predictLoss(
        known,
        is.map((value, index) => value - was[index]!),
      );
      if (predicted === undefined) continue;
      loss += predicted;
      weights++;
    }
    if (weights === 0) return [];
    return [
      {
        kind: 'fact',
        text: `the curvature predicts a loss of ${loss.toPrecision(3)} nats for ${weights} weights, each rounded alone`,
        facts: { predicted_loss: loss, weights },
      },
    ];
  } catch (error) {
    if (error instanceof CompressError && ['unsupported', 'data'].includes(error.code)) return [];
    throw error;
  }
};
