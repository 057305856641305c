import { measureCost } from '../../analysis/cost.ts';
import { findSites } from '../../analysis/sites.ts';
import { layoutModel } from '../../artifact/formats/onnx/model-layout.ts';
import type { Program } from '../../ir/graph.ts';

/** What names and attributes of scales, zero points and integer products add for one weight. */
const bytesPerPackedWeight = 500;

/** What the node and the names of one more product in integers take. */
export const bytesPerProduct = bytesPerPackedWeight + 400;

/**
 * Bytes that a graph takes in an ONNX file beside the elements of its weights: nodes, names, lengths. What is a trifle
 * for a large model is a sixteenth of one of a megabyte.
 * @param integers whether weights will be integers
 */
export const graphBytes = (program: Program, { integers }: { readonly integers: boolean }): number => {
  const structure = layoutModel(program).byteLength - measureCost(program).storedBytes;
  return structure + (integers ? bytesPerPackedWeight * findSites(program).length : 0);
};
