import { OperatorBuilder } from '../ir/build.ts';
import { replaceAllUses } from '../ir/edit/replace.ts';
import type { Graph } from '../ir/graph.ts';
import { readNumbers } from '../ir/read.ts';
import { constantOf } from '../ir/walk.ts';

/**
 * Writes x² as x·x: the gradient of a power is a power again, and onnxruntime computes those number by number with the
 * general function.
 */
export const writeSquaresAsProducts = (graph: Graph): void => {
  for (const node of [...graph.nodes]) {
    const [base, exponent] = node.inputs;
    const [output] = node.outputs;
    if (node.op !== 'Pow' || node.domain !== '' || !base || !output) continue;
    const tensor = constantOf(exponent);
    if (!tensor || tensor.byteLength > 8 || Number(readNumbers(tensor)[0]) !== 2) continue;
    const build = new OperatorBuilder(graph, `train/square ${node.name}`, node);
    replaceAllUses(output, build.typed(build.multiply(base, base), output.type), { graph });
  }
};
