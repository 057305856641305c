import type { Site } from '../../../../analysis/sites.ts';
import type { Node } from '../../../../ir/graph.ts';
import type { Lowering } from './form.ts';
import { lowerGather } from './gather.ts';
import { lowerConvolution, lowerMatrixProduct } from './product.ts';
import { hasIntegerForm, lowerLstm } from './recurrent.ts';
import { lowerWeightOnly } from './weight-only.ts';

/** What a site becomes: an integer operator, or a weight that is dequantized where it is read. */
export type IntegerForm = 'MatMulInteger' | 'ConvInteger' | 'DynamicQuantizeLSTM' | 'Gather' | 'DequantizeLinear';

/** The sites of one node, in the order of its inputs: an LSTM has two. */
const byNode = (sites: readonly Site[]): Map<Node, Site[]> => {
  const groups = new Map<Node, Site[]>();
  for (const site of sites) groups.set(site.node, [...(groups.get(site.node) ?? []), site]);
  return groups;
};

/** The form that each site will take; an LSTM needs both of its weights for the integer one. */
export const integerForms = (sites: readonly Site[]): ReadonlyMap<Site, IntegerForm> => {
  const groups = byNode(sites);
  const formOf = (site: Site): IntegerForm => {
    if (site.op === 'MatMul' || site.op === 'Gemm') return 'MatMulInteger';
    if (site.op === 'Conv') return 'ConvInteger';
    if (site.op === 'Gather') return 'Gather';
    return groups.get(site.node)?.length === 2 && hasIntegerForm(site) ? 'DynamicQuantizeLSTM' : 'DequantizeLinear';
  };
  return new Map(sites.map((site) => [site, formOf(site)]));
};

/**
 * Rewrites sites to their integer forms, in place and in execution order, and tells of each that is done. Sites must be
 * looked up anew afterwards.
 */
export const lowerSites = (
  sites: readonly Site[],
  lowering: Lowering,
  finished: (site: Site, form: IntegerForm) => void = () => undefined,
): void => {
  const forms = integerForms(sites);
  for (const group of byNode(sites).values()) {
    const [first, second] = group;
    if (!first) continue;
    const form = forms.get(first);
    if (form === 'DynamicQuantizeLSTM' && second) lowerLstm({ input: first, recurrent: second }, lowering);
    else if (form === 'MatMulInteger') lowerMatrixProduct(first, lowering);
    else if (form === 'ConvInteger') lowerConvolution(first, lowering);
    else if (form === 'Gather') lowerGather(first, lowering);
    else for (const site of group) lowerWeightOnly(site, lowering);
    for (const site of group) finished(site, forms.get(site) ?? 'DequantizeLinear');
  }
};
