import type { Site } from '../../../../analysis/sites.ts';
import { intAttribute } from '../../../../ir/graph.ts';
import { NodeWriter } from '../node-writer.ts';
import { unsignedZero } from '../weight-store.ts';
import { finishSite } from './finish.ts';
import { activationOf, integerWeight, type Lowering, scalarConstant } from './form.ts';

/**
 * An embedding: rows of integers are looked up first and only those dequantized, each by the scale of its row.
 * DequantizeLinear in front of the lookup would widen the whole table at every run.
 */
export const lowerGather = (site: Site, lowering: Lowering): void => {
  const writer = new NodeWriter(lowering.names, site.graph, site.node);
  const { name } = site.output;
  const weight = integerWeight(site, lowering, {
    dtype: lowering.options.weightType,
    scaleShape: [site.rows, 1],
  });
  const gather = (table: typeof weight.codes, suffix: string) =>
    writer.add({
      op: 'Gather',
      inputs: [table, activationOf(site)],
      attributes: { axis: intAttribute(0) },
      name: `${name}${suffix}`,
    });
  const codes = gather(weight.codes, '_q');
  const scales = weight.scaleNumbers.length === 1 ? weight.scales : gather(weight.scales, '_s');
  const asFloat = { to: intAttribute(1) };
  let numbers = writer.add({ op: 'Cast', inputs: [codes], attributes: asFloat, name: `${name}_f` });
  if (weight.zeroPoint) {
    const zero = scalarConstant(lowering, 'unsigned_zero', unsignedZero);
    numbers = writer.add({ op: 'Sub', inputs: [numbers, zero], name: `${name}_c` });
  }
  const rows = writer.add({ op: 'Mul', inputs: [numbers, scales], name: `${name}_y` });
  finishSite(site, rows);
};
