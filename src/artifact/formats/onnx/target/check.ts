import { CompressError, CompressErrors } from '../../../../errors.ts';
import type { Node, Program } from '../../../../ir/graph.ts';
import { constantOf, nodesWithin } from '../../../../ir/walk.ts';
import type { Target } from './target.ts';

/** Why a target cannot run a node, and what to do; undefined when it can as far as is known. */
const obstacle = (node: Node, target: Target): { readonly message: string; readonly hint: string } | undefined => {
  const bits = node.int('bits', 4);
  const data = constantOf(node.inputs[0]);
  switch (`${node.domain}:${node.op}`) {
    case 'com.microsoft:MatMulNBits':
      return target.productBits.includes(bits)
        ? undefined
        : { message: `MatMulNBits with ${bits} bits`, hint: 'Write the format onnx-qdq, or quantize to 4 bits.' };
    case 'com.microsoft:GatherBlockQuantized':
      return data?.dtype !== 'uint8' || target.lookupBits.includes(bits)
        ? undefined
        : { message: `GatherBlockQuantized with ${bits} bits in bytes`, hint: 'Write the format onnx-qdq.' };
    case 'com.microsoft:QMoE': {
      const width = node.int('expert_weight_bits', 4);
      const hint = 'Keep the experts as products of their own.';
      return target.expertBits.includes(width) ? undefined : { message: `QMoE with ${width} bits`, hint };
    }
    case ':ConvInteger':
      return constantOf(node.inputs[1])?.dtype === 'int8' && !target.signedConvolutions
        ? { message: 'ConvInteger with signed weights', hint: 'Quantize with weight_type: uint8.' }
        : undefined;
    case ':DequantizeLinear':
      if (data?.dtype === 'float4e2m1')
        return { message: 'DequantizeLinear of 4-bit floats', hint: 'Quantize to integers.' };
      return (data?.dtype === 'int2' || data?.dtype === 'uint2') && !target.twoBitIntegers
        ? { message: 'DequantizeLinear of 2-bit integers', hint: 'Store 2-bit weights in 4 bits.' }
        : undefined;
    default:
      return undefined;
  }
};

/** @throws unsupported, for everything in a program that a target cannot run, each with what to do. */
export const checkTarget = (program: Program, target: Target): void => {
  const problems: CompressError[] = [];
  const opset = program.opsets.get('') ?? 1;
  if (opset > target.newestOpset)
    problems.push(
      new CompressError({
        code: 'unsupported',
        message: `${target.name} reads operator sets up to ${target.newestOpset}, and the model has ${opset}`,
        hint: `Build the graph for an older one (model: { path: …, opset: ${Math.min(21, target.newestOpset)} }), or choose a later version.`,
      }),
    );
  for (const node of nodesWithin(program.graph)) {
    const found = obstacle(node, target);
    if (found)
      problems.push(
        new CompressError({
          code: 'unsupported',
          message: `${target.name} does not run ${found.message}`,
          where: { node: node.name || (node.outputs[0]?.name ?? node.op) },
          hint: found.hint,
        }),
      );
  }
  if (problems.length > 0) throw new CompressErrors(problems);
};
