import { CodebookTensor } from '../../../../ir/codebook-tensor.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import { intAttribute, Node, type Program, type Use } from '../../../../ir/graph.ts';
import { tensorOf } from '../../../../ir/read.ts';
import { DerivedTensor } from '../../../../ir/tensor.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import type { LoweredWeight } from './report.ts';

const microsoft = 'com.microsoft';
/** `quant_type` of NormalFloat. */
const normalFloat = 1;

const isProduct = ({ node, index }: Use): boolean => node.op === 'MatMul' && node.domain === '' && index === 1;

/** Two codes a byte, the first in the high bits. */
const packPairs = (codes: Uint8Array): Uint8Array =>
  Uint8Array.from(
    { length: Math.ceil(codes.length / 2) },
    (_, pair) => (codes[2 * pair]! << 4) | (codes[2 * pair + 1] ?? 0),
  );

/**
 * Turns products whose weights are codes of NormalFloat into com.microsoft MatMulBnb4, in place. Weights that something
 * else reads too stay as they are: they are written as numbers.
 */
export const lowerToBnb4 = (program: Program): LoweredWeight[] => {
  const done: LoweredWeight[] = [];
  for (const graph of graphsWithin(program.graph)) {
    const names = nameSource(graph);
    for (const value of [...graph.initializers]) {
      const { tensor } = value;
      if (!(tensor instanceof CodebookTensor) || tensor.facts.name !== 'nf4') continue;
      const { rows, columns, blockSize, codes, scales, layout, dtype } = tensor.facts;
      if (layout !== 'rows-last' || !value.uses.every(isProduct) || graph.outputs.includes(value)) continue;
      const packed = new DerivedTensor('uint8', [Math.ceil(codes.length / 2)], () => packPairs(codes));
      const data = graph.addInitializer(names.fresh(`${value.name}_Bnb4`), packed);
      const scale = graph.addInitializer(names.fresh(`${value.name}_absmax`), tensorOf(dtype, [scales.length], scales));
      for (const { node } of value.uses) {
        const output = node.outputs[0];
        const made = new Node({
          op: 'MatMulBnb4',
          domain: microsoft,
          name: node.name,
          inputs: [node.inputs[0], data, scale],
          outputs: [],
          attributes: {
            K: intAttribute(columns),
            N: intAttribute(rows),
            block_size: intAttribute(blockSize),
            quant_type: intAttribute(normalFloat),
          },
        });
        for (const [key, text] of node.metadata) made.metadata.set(key, text);
        graph.insert(made, node);
        graph.remove(node);
        made.setOutput(0, output);
      }
      graph.initializers.delete(value);
      done.push({ weight: value.name, form: 'MatMulBnb4', bits: 4, blockSize });
    }
  }
  if (done.length > 0 && !program.opsets.has(microsoft)) program.opsets.set(microsoft, 1);
  return done;
};
