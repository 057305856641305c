import { subtractDims } from '../dimension.ts';
import type { Rule, RuleTable } from './call.ts';
import { sameAsFirst } from './elementwise.ts';
import { tensorFact } from './fact.ts';

/** Operators of early or experimental operator sets. */

/** border: left, top, right, bottom; scale: height, width of the result where given. */
const crop: Rule = (call) => {
  const x = call.shapeOfRank(0, 4);
  const [left = 0, top = 0, right = 0, bottom = 0] = call.node.ints('border') ?? [];
  const scale = call.node.ints('scale');
  if (!x) return [tensorFact(call.dtype(0))];
  const height = scale?.[0] ?? subtractDims(x[2]!, top + bottom);
  const width = scale?.[1] ?? subtractDims(x[3]!, left + right);
  return [tensorFact(call.dtype(0), [x[0]!, x[1]!, height, width])];
};

/** Dynamic slices of the experimental operator set. */
const dynamicSlice: Rule = (call) => [
  tensorFact(
    call.dtype(0),
    call.shape(0)?.map(() => null),
  ),
];

export const legacyRules: RuleTable = {
  Affine: sameAsFirst,
  ImageScaler: sameAsFirst,
  Crop: crop,
  DynamicSlice: dynamicSlice,
  Scale: sameAsFirst,
};
