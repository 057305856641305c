import { dataTypeFromOnnx } from '../data-type.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { sameAsFirst } from './elementwise.ts';
import { tensorFact } from './fact.ts';

/** Y; in training mode, the updated statistics (opset 14: two, before: four), each (C). */
const batchNormalization: Rule = (call) => {
  const x = call.shape(0);
  const statistics = tensorFact(call.dtype(3) ?? call.dtype(0), x && [x[1] ?? 1]);
  return [tensorFact(call.dtype(0), x), ...call.node.outputs.slice(1).map(() => statistics)];
};

/** The input's shape with the axes from `axis` on reduced to one: what mean and deviation have. */
export const statisticsShape = (call: Call, fallbackAxis: number) => {
  const x = call.shape(0);
  if (!x) return undefined;
  const axis = call.axis(call.node.int('axis', fallbackAxis), x.length);
  return x.map((dim, at) => (at < axis ? dim : 1));
};

/** Y, mean, inverse standard deviation. */
const layerNormalization: Rule = (call) => {
  const stash = dataTypeFromOnnx(call.node.int('stash_type', 1));
  const statistics = tensorFact(stash, statisticsShape(call, -1));
  return [tensorFact(call.dtype(0), call.shape(0)), statistics, statistics];
};

/** Y has the type of the scale in RMSNormalization (opset 23). */
const rmsNormalization: Rule = (call) => [tensorFact(call.dtype(1) ?? call.dtype(0), call.shape(0))];

export const normalizationRules: RuleTable = {
  BatchNormalization: batchNormalization,
  GroupNormalization: sameAsFirst,
  InstanceNormalization: sameAsFirst,
  LayerNormalization: layerNormalization,
  LRN: sameAsFirst,
  LpNormalization: sameAsFirst,
  MeanVarianceNormalization: sameAsFirst,
  RMSNormalization: rmsNormalization,
};
