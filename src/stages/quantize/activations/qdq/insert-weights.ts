import type { Site } from '../../../../analysis/sites.ts';
import { internalError } from '../../../../errors.ts';
import type { NameSource } from '../../../../ir/edit/names.ts';
import type { Value } from '../../../../ir/graph.ts';
import { roundHalfEven } from '../../../../ir/minifloat.ts';
import { floatTensor, intTensor, readFloats } from '../../../../ir/read.ts';
import { constantOf } from '../../../../ir/walk.ts';
import type { Grid } from '../grid.ts';
import { readDequantized, writeDequantization } from '../replace-weight.ts';
import type { StoredWeight, WeightStore } from '../weight-store.ts';

/** Codes of a bias stay below this, a margin within int32. */
const largestBiasCode = 2 ** 30;

/** The constant bias of a product, one number per output channel; undefined when it has none or it lies otherwise. */
const biasOf = (site: Site): Value | undefined => {
  const { node, rows } = site;
  if (site.op === 'MatMul' || node.float('alpha', 1) !== 1 || node.float('beta', 1) !== 1) return undefined;
  const value = node.inputs[2];
  const tensor = constantOf(value);
  return tensor?.shape.length === 1 && tensor.shape[0] === rows ? value : undefined;
};

/** Least weight scales (rows) under which every bias fits its integer: bias ≤ 2^30 · input scale · weight scale. */
const biasFloors = (bias: Float32Array, inputScale: number): Float32Array =>
  bias.map((number) => Math.abs(number) / (inputScale * largestBiasCode));

/** Least scales for a weight: the largest that any product reading it needs for its bias. */
export const scaleFloors = (
  sites: readonly Site[],
  inputScale: (site: Site) => number,
): ReadonlyMap<Value, Float32Array> => {
  const floors = new Map<Value, Float32Array>();
  for (const site of sites) {
    const bias = constantOf(biasOf(site));
    if (!bias) continue;
    const own = biasFloors(readFloats(bias), inputScale(site));
    const known = floors.get(site.weight);
    floors.set(site.weight, known ? known.map((floor, row) => Math.max(floor, own[row]!)) : own);
  }
  return floors;
};

export interface WeightInsertion {
  readonly site: Site;
  readonly weight: StoredWeight;
  readonly inputGrid: Grid;
  readonly store: WeightStore;
  readonly names: NameSource;
}

/** Makes a product read its weight, and its bias where it has one, through DequantizeLinear. */
export const insertWeight = (insertion: WeightInsertion): void => {
  readDequantized(insertion.site, insertion.weight, insertion.names);
  insertBias(insertion);
};

/** int32 codes with the scale input · weight and no zero point: what the integer product adds up in. */
const insertBias = (insertion: WeightInsertion): void => {
  const { site, weight, inputGrid, store } = insertion;
  const bias = biasOf(site);
  const tensor = constantOf(bias);
  if (!bias || !tensor) return;
  const numbers = readFloats(tensor);
  const scales = weight.scaleNumbers.map((scale) => scale * inputGrid.scale);
  const scaleAt = (row: number): number => scales[scales.length === 1 ? 0 : row] ?? 0;
  const codes = Array.from(numbers, (number, row) => roundHalfEven(number / scaleAt(row)));
  if (codes.some((code) => Math.abs(code) > 2 ** 31 - 1))
    throw internalError('a bias does not fit 32 bits', { site: site.name });
  const perChannel = scales.length > 1;
  const fields = {
    codes: store.addConstant(site.graph, `${bias.name}_q`, intTensor([codes.length], codes, 'int32')),
    scales: store.addConstant(site.graph, `${bias.name}_s`, floatTensor(perChannel ? [scales.length] : [], scales)),
    axis: 0,
    shape: tensor.shape,
    name: `${bias.name}_d`,
  };
  site.node.setInput(2, writeDequantization(site, fields, insertion.names));
};
