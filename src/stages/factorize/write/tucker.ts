import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { internalError } from '../../../errors.ts';
import { freshName } from '../../../ir/edit/names.ts';
import { intsAttribute, Node, Value } from '../../../ir/graph.ts';
import { factorConvolution } from '../factor-site.ts';
import type { TuckerFactors, TuckerRanks } from '../methods/tucker.ts';
import { addConstant, dropWeight } from './place.ts';

/** Writes a convolution as three: pointwise to the inner channels, the filter, pointwise to the outputs with the bias. */
export const writeTucker = (site: Site, { input, core, output }: TuckerFactors, ranks: TuckerRanks): void => {
  const [, channels = 1, ...places] = siteTensor(site).shape;
  const pointwise = places.map(() => 1);
  const narrow = addConstant(site, input, [ranks.channels, channels, ...pointwise], {
    layout: 'rows-first',
    suffix: 'input',
  });
  const inner = new Value(freshName(site.graph, `${site.output.name}.input`));
  const original = site.input;
  factorConvolution(site, { left: output, right: core }, ranks.rows, [ranks.channels, ...places]);
  const middle = site.node.inputs[0]?.producer;
  if (!middle) throw internalError('a convolution lost its filter while it was factorised', { site: site.name });
  middle.setInput(0, inner);
  const first = new Node({
    op: 'Conv',
    name: freshName(site.graph, `${site.name}.input`),
    inputs: [original, narrow],
    outputs: [inner],
    attributes: { kernel_shape: intsAttribute(pointwise) },
  });
  for (const [key, text] of site.node.metadata) first.metadata.set(key, text);
  site.graph.insert(first, middle);
  dropWeight(site);
};
