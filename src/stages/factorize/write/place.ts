import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { freshName } from '../../../ir/edit/names.ts';
import { type Node, Value } from '../../../ir/graph.ts';
import { arrayOfMatrix, type MatrixLayout } from '../../../ir/matrix-layout.ts';
import { MemoryTensor } from '../../../ir/tensor.ts';
import { floatToBytes } from '../../../kernels/index.ts';

type WeightType = 'float32' | 'float16' | 'bfloat16';

/** A matrix as a new constant beside the site's, of the same element type. */
export const addConstant = (
  site: Site,
  matrix: Float64Array,
  shape: readonly number[],
  { layout, suffix }: { readonly layout: MatrixLayout; readonly suffix: string },
): Value => {
  const dtype = siteTensor(site).dtype as WeightType;
  const bytes = floatToBytes(arrayOfMatrix(Float32Array.from(matrix), shape, layout), dtype);
  const name = freshName(site.graph, `${site.weight.name}.${suffix}`);
  return site.graph.addInitializer(name, new MemoryTensor(dtype, shape, bytes));
};

/** A node with another one's role, block and name. */
export const insertBefore = (site: Site, node: Node): Node => {
  for (const [key, text] of site.node.metadata) node.metadata.set(key, text);
  return site.graph.insert(node, site.node);
};

export const namesFor = (site: Site): { name: string; output: Value } => ({
  name: freshName(site.graph, `${site.name}.right`),
  output: new Value(freshName(site.graph, `${site.output.name}.right`)),
});

/** Removes the constant of a site that nothing reads any more. */
export const dropWeight = (site: Site): void => {
  if (site.weight.uses.length > 0 || site.graph.inputs.includes(site.weight)) return;
  const { producer } = site.weight;
  if (producer) site.graph.remove(producer);
  else site.graph.initializers.delete(site.weight);
};
