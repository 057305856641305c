import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { freshName } from '../../../ir/edit/names.ts';
import { intAttribute, intsAttribute, Node, Value } from '../../../ir/graph.ts';
import type { CanonicalFactors } from '../methods/canonical.ts';
import { addConstant, dropWeight, insertBefore } from './place.ts';

/** Writes a convolution as three: pointwise to `rank` channels, a filter for each of them, pointwise with the bias. */
export const writeCanonical = (site: Site, { input, filter, output }: CanonicalFactors, rank: number): void => {
  const { node, rows, graph } = site;
  const [, channels = 1, ...places] = siteTensor(site).shape;
  const pointwise = places.map(() => 1);
  const layout = 'rows-first' as const;
  const narrow = addConstant(site, input, [rank, channels, ...pointwise], { layout, suffix: 'input' });
  const filters = addConstant(site, filter, [rank, 1, ...places], { layout, suffix: 'filter' });
  const wide = addConstant(site, output, [rows, rank, ...pointwise], { layout, suffix: 'output' });
  const made = (suffix: string): Value => new Value(freshName(graph, `${site.output.name}.${suffix}`));
  const [inner, filtered] = [made('input'), made('filter')];
  const geometry = new Map(node.attributes);
  geometry.set('group', intAttribute(rank));
  insertBefore(
    site,
    new Node({
      op: 'Conv',
      name: freshName(graph, `${site.name}.input`),
      inputs: [site.input, narrow],
      outputs: [inner],
      attributes: { kernel_shape: intsAttribute(pointwise) },
    }),
  );
  insertBefore(
    site,
    new Node({
      op: 'Conv',
      name: freshName(graph, `${site.name}.filter`),
      inputs: [inner, filters],
      outputs: [filtered],
      attributes: geometry,
    }),
  );
  node.setInput(site.weightIndex, wide);
  node.setInput(0, filtered);
  for (const key of ['strides', 'pads', 'dilations', 'auto_pad', 'group']) node.attributes.delete(key);
  node.setAttribute('kernel_shape', intsAttribute(pointwise));
  dropWeight(site);
};
