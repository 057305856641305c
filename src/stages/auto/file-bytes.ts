import { measureCost } from '../../analysis/cost.ts';
import { findSites } from '../../analysis/sites.ts';
import { compactGraph } from '../../artifact/formats/onnx/lower/compact.ts';
import { layoutModel } from '../../artifact/formats/onnx/model-layout.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';

/** What names and attributes of scales, zero points and integer products add for one weight. */
const bytesPerPackedWeight = 500;

/** What the node and the names of one more product in integers take. */
export const bytesPerProduct = bytesPerPackedWeight + 400;

/** How the graph will be written. */
export interface GraphForm {
  /** Whether weights will be integers. */
  readonly integers: boolean;
  /** Whether names and notes that running does not need are left out. */
  readonly compact: boolean;
}

/**
 * Bytes that a graph takes in an ONNX file beside the elements of its weights: nodes, names, lengths. What is a trifle
 * for a large model is a sixteenth of one of a megabyte.
 */
export const graphBytes = (program: Program, { integers, compact }: GraphForm): number => {
  const written = compact ? cloneProgram(program) : program;
  if (compact) compactGraph(written);
  const structure = layoutModel(written).byteLength - measureCost(program).storedBytes;
  return structure + (integers ? bytesPerPackedWeight * findSites(program).length : 0);
};

/** What `compact` would leave to the weights of the `whole` bytes of a graph, where that is a part of the budget that counts. */
export const compactFinding = (program: Program, whole: number, budget: number): Finding[] => {
  const saved = whole - graphBytes(program, { integers: true, compact: true });
  if (saved < 0.03 * budget) return [];
  const text = `${saved} of the ${budget} bytes go to names that running does not need: \`compact: true\`, here and in the format, leaves them to the weights`;
  return [{ kind: 'fact', text, facts: { bytes_of_names: saved } }];
};
