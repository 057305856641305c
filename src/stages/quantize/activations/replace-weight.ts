import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { internalError } from '../../../errors.ts';
import type { NameSource } from '../../../ir/edit/names.ts';
import { intAttribute, type Value } from '../../../ir/graph.ts';
import { NodeWriter } from './node-writer.ts';
import { rowAxis, type StoredWeight } from './weight-store.ts';

/** Where `numbers` come from: integers, their scales and the axis of one scale per channel. */
export interface Dequantization {
  readonly codes: Value;
  readonly scales: Value;
  readonly zeroPoints?: Value | undefined;
  readonly axis: number;
  readonly shape: readonly number[];
  readonly name: string;
}

/** Writes a DequantizeLinear in front of a site and returns its result. A single scale needs no axis. */
export const writeDequantization = (site: Site, fields: Dequantization, names: NameSource): Value =>
  new NodeWriter(names, site.graph, site.node).add({
    op: 'DequantizeLinear',
    inputs: [fields.codes, fields.scales, ...(fields.zeroPoints ? [fields.zeroPoints] : [])],
    attributes: fields.scales.tensor?.shape.length === 1 ? { axis: intAttribute(fields.axis) } : {},
    name: fields.name,
    dtype: 'float32',
    shape: fields.shape,
  });

/** Makes a site read its weight through DequantizeLinear, and through its Transpose where there is one. */
export const readDequantized = (site: Site, weight: StoredWeight, names: NameSource, axis = rowAxis(site)): void => {
  const { node, weightIndex } = site;
  const numbers = writeDequantization(
    site,
    { ...weight, axis, shape: siteTensor(site).shape, name: `${site.weight.name}_d` },
    names,
  );
  if (node.inputs[weightIndex] === site.weight) {
    node.setInput(weightIndex, numbers);
    return;
  }
  const transpose = node.inputs[weightIndex]?.producer;
  if (!transpose) throw internalError('a site does not read its weight', { site: site.name });
  const transposed = new NodeWriter(names, site.graph, node).add({
    op: 'Transpose',
    inputs: [numbers],
    attributes: Object.fromEntries(transpose.attributes),
    name: `${numbers.name}_t`,
  });
  node.setInput(weightIndex, transposed);
};
