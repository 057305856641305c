import { dataTypeFromOnnx } from '../data-type.ts';
import type { Rule, RuleTable } from './call.ts';
import { tensorFact } from './fact.ts';
import { productShape } from './matmul.ts';

/** The type of the zero point, else the attribute output_dtype, else uint8. */
const quantize: Rule = (call) => {
  const stated = call.node.int('output_dtype', 0);
  const dtype = call.dtype(2) ?? (stated === 0 ? 'uint8' : dataTypeFromOnnx(stated));
  return [tensorFact(dtype, call.shape(0))];
};

/** The type of the scale, unless output_dtype (opset 23) says otherwise. */
const dequantize: Rule = (call) => {
  const stated = call.node.int('output_dtype', 0);
  return [tensorFact(stated === 0 ? (call.dtype(1) ?? 'float32') : dataTypeFromOnnx(stated), call.shape(0))];
};

/** Codes, scale, zero point. */
const dynamicQuantize: Rule = (call) => [
  tensorFact('uint8', call.shape(0)),
  tensorFact('float32', []),
  tensorFact('uint8', []),
];

const integerMatmul: Rule = (call) => [tensorFact('int32', productShape(call, call.shape(0), call.shape(1)))];

/** a, scale, zero, b, scale, zero, y scale, y zero */
const quantizedMatmul: Rule = (call) => [
  tensorFact(call.dtype(7) ?? call.dtype(0), productShape(call, call.shape(0), call.shape(3))),
];

export const quantizationRules: RuleTable = {
  QuantizeLinear: quantize,
  DequantizeLinear: dequantize,
  DynamicQuantizeLinear: dynamicQuantize,
  MatMulInteger: integerMatmul,
  QLinearMatMul: quantizedMatmul,
};
