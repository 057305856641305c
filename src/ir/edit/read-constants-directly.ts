import type { Program } from '../graph.ts';
import { constantOf, graphsWithin } from '../walk.ts';
import { replaceAllUses } from './replace.ts';

/**
 * Lets nodes read constants themselves that they read through an Identity: exporters keep one of several equal weights
 * and hand it to the other layers that way, which hides that these layers multiply by a weight. An Identity whose output
 * is an output of its graph stays.
 * @returns the number of nodes that went.
 */
export const readConstantsDirectly = (program: Program): number => {
  let removed = 0;
  for (const graph of [...graphsWithin(program.graph)])
    for (const node of [...graph.nodes]) {
      const [source] = node.inputs;
      const [output] = node.outputs;
      if (node.op !== 'Identity' || node.domain !== '' || !source || !output || !constantOf(source)) continue;
      if ([...graphsWithin(graph)].some((body) => body.outputs.includes(output))) continue;
      replaceAllUses(output, source, { graph });
      graph.remove(node);
      removed++;
    }
  return removed;
};
