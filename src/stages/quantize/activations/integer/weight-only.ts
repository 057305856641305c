import { siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { readDequantized } from '../replace-weight.ts';
import { channelView } from '../weight-codes.ts';
import { rowAxis } from '../weight-store.ts';
import { integerWeight, type Lowering } from './form.ts';

/**
 * A weight whose operator has no integer kernel: stored in integers and dequantized where it is read. Recurrent weights
 * (directions, rows, columns) share a scale between directions, since a scale belongs to a place along one axis.
 */
export const lowerWeightOnly = (site: Site, lowering: Lowering): void => {
  const recurrent = site.op === 'LSTM' || site.op === 'GRU';
  const axis = recurrent ? 1 : rowAxis(site);
  const weight = integerWeight(site, lowering, {
    home: site.graph,
    dtype: lowering.options.weightType,
    ...(recurrent ? { view: channelView(siteTensor(site).shape, axis) } : {}),
  });
  readDequantized(site, weight, lowering.names, axis);
};
