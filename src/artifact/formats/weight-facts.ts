import { CodebookTensor } from '../../ir/codebook-tensor.ts';
import { bitsOf, type DataType, isFloat } from '../../ir/data-type.ts';
import type { Program } from '../../ir/graph.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { elementCount } from '../../ir/shape.ts';
import { allGraphs, constantOf } from '../../ir/walk.ts';
import type { LoweringReport } from './onnx/lower/report.ts';

/** How one weight stands in a written artifact, for the manifest. */
export interface WeightFacts {
  readonly name: string;
  /** Element type that the weight stands for. */
  readonly dtype: DataType;
  readonly shape: readonly number[];
  /** Bits of a code; for weights that are not quantized, bits of an element. */
  readonly bits: number;
  /** Columns that share a scale; 0 where there is no scale. */
  readonly groupSize: number;
  /** 'rtn', 'gptq', …; 'none' where the weight is as it was. */
  readonly method: string;
  /** Operator that reads the codes ('MatMulNBits', 'DequantizeLinear', …), 'plain' for a plain array. */
  readonly form: string;
}

/** Smaller floating-point constants are scalars and epsilons, not weights. */
const smallestWeight = 16;

/** Facts of every floating-point constant, with the forms that a lowering has given to the quantized ones. */
export const weightFacts = (program: Program, lowering: LoweringReport | undefined): WeightFacts[] => {
  const found: WeightFacts[] = [];
  for (const graph of allGraphs(program)) {
    const constants = [
      ...graph.initializers,
      ...graph.nodes.flatMap((node) => (node.op === 'Constant' ? [...node.outputs] : [])),
    ];
    for (const value of constants) {
      const tensor = constantOf(value);
      if (!value || !tensor || !isFloat(tensor.dtype) || elementCount(tensor.shape) < smallestWeight) continue;
      const base = { name: value.name, dtype: tensor.dtype, shape: tensor.shape };
      if (tensor instanceof CodebookTensor) {
        const form = lowering?.weights.find((weight) => weight.weight === value.name)?.form ?? 'dequantized';
        const bits = Math.ceil(Math.log2(tensor.facts.entries));
        found.push({ ...base, bits, groupSize: tensor.facts.blockSize, method: tensor.facts.name ?? 'codebook', form });
        continue;
      }
      if (!(tensor instanceof PackedTensor)) {
        found.push({ ...base, bits: bitsOf(tensor.dtype), groupSize: 0, method: 'none', form: 'plain' });
        continue;
      }
      const { bits, groupSize, method } = tensor.facts;
      const forms = lowering?.weights.filter((weight) => weight.weight === value.name) ?? [];
      for (const form of forms.length > 0 ? forms.map((entry) => entry.form) : ['dequantized'])
        found.push({ ...base, bits, groupSize, method, form });
    }
  }
  return found;
};
