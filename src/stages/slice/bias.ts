import { readSiteMatrix } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import type { RemovalPick } from '../../curvature/removal/choices.ts';
import { nameSource } from '../../ir/edit/names.ts';
import { insertNode, outputOf, replaceAllUses } from '../../ir/edit/replace.ts';
import { tensorOf } from '../../ir/read.ts';
import { constantOf } from '../../ir/walk.ts';

/** Adds a number a row to what a product gives. */
const addToOutput = (site: Site, numbers: Float64Array): void => {
  const { graph, node, output, rows } = site;
  const tensor = constantOf(site.weight)!;
  const convolution = site.op === 'Conv' || site.op === 'ConvTranspose';
  const shape = convolution ? [1, rows, ...tensor.shape.slice(2).map(() => 1)] : [rows];
  const bias = graph.addInitializer(
    nameSource(graph).fresh(`${output.name}/shift`),
    tensorOf(tensor.dtype, shape, numbers),
  );
  const sum = insertNode(
    { op: 'Add', inputs: [output, bias], outputs: [`${output.name}/shifted`] },
    { graph, after: node },
  );
  for (const [key, text] of node.metadata) if (key.endsWith('block')) sum.metadata.set(key, text);
  const shifted = outputOf(sum);
  shifted.type = output.type;
  replaceAllUses(output, shifted, { graph, except: [sum] });
};

/** Gives the readers of a pick W_R E[x_R] as a constant, for the inputs R that go (FLAP, An et al. 2024, section 3.3). */
export const compensateByBias = (pick: RemovalPick, means: ReadonlyMap<string, Float64Array>): void => {
  for (const { site, lines } of pick.pool.consumers) {
    const mean = means.get(site.name);
    if (!mean || pick.units.length === 0) continue;
    const matrix = readSiteMatrix(site);
    const gone = pick.units.flatMap((unit) => lines[unit]!);
    const shift = Float64Array.from({ length: site.rows }, (_, row) =>
      gone.reduce((sum, column) => sum + matrix[row * site.columns + column]! * mean[column]!, 0),
    );
    addToOutput(site, shift);
  }
};
