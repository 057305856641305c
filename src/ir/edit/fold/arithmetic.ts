import { bitsOf, byteLengthOf, type DataType, isFloat } from '../../data-type.ts';
import { encodeElements } from '../../elements.ts';
import { roundHalfEven } from '../../minifloat.ts';
import { readNumbers, tensorOf } from '../../read.ts';
import { elementCount } from '../../shape.ts';
import { broadcastView, visitRuns, wholeView } from '../../strided.ts';
import type { Tensor } from '../../tensor.ts';
import type { ConstantCall, Evaluator, EvaluatorTable } from './evaluator.ts';
import { lazyTensor } from './lazy.ts';

/**
 * Elementwise arithmetic in double precision, rounded once to the result's type. For float32 sums, products, quotients
 * and square roots that is the correctly rounded result. 64-bit integers beyond 2^53 are left to the engine.
 */

const isNumeric = (dtype: DataType): boolean => dtype !== 'string' && dtype !== 'complex64' && dtype !== 'complex128';

/** Elements as doubles. @throws RangeError for integers that a double does not hold. */
const exactNumbers = (tensor: Tensor): ArrayLike<number> => {
  const numbers = readNumbers(tensor);
  if (tensor.dtype === 'int64' || tensor.dtype === 'uint64')
    for (let index = 0; index < numbers.length; index++)
      if (!Number.isSafeInteger(numbers[index])) throw new RangeError('beyond 2^53');
  return numbers;
};

/** Operands of a small result with integers that a double does not hold make folding impossible; undefined then. */
const guarded =
  (evaluate: Evaluator): Evaluator =>
  (constants) => {
    const { tensors, outputs } = constants;
    if ([...tensors, ...outputs].some((tensor) => tensor && !isNumeric(tensor.dtype))) return undefined;
    try {
      for (const tensor of tensors) if (tensor && !isFloat(tensor.dtype)) exactNumbers(tensor);
      return evaluate(constants);
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  };

/** `numbers` of shape `from` repeated to `shape`, as doubles. */
const spread = (numbers: ArrayLike<number>, from: readonly number[], shape: readonly number[]): Float64Array => {
  const result = new Float64Array(elementCount(shape));
  visitRuns(broadcastView(wholeView(from), shape), (source, target, length, stride) => {
    for (let step = 0; step < length; step++) result[target + step] = numbers[source + step * stride]!;
  });
  return result;
};

/** All operands broadcast to the result's shape and combined element by element. */
const combined = (
  { tensors, outputs }: ConstantCall,
  combine: (operands: readonly Float64Array[], index: number) => number,
): readonly Tensor[] | undefined => {
  const [output] = outputs;
  const given = tensors.filter((tensor): tensor is Tensor => tensor !== undefined);
  if (!output || given.length !== tensors.length) return undefined;
  const { dtype, shape } = output;
  const count = elementCount(shape);
  const compute = (): Float64Array => {
    const operands = given.map((tensor) => spread(readNumbers(tensor), tensor.shape, shape));
    const result = new Float64Array(count);
    for (let index = 0; index < count; index++) result[index] = combine(operands, index);
    return result;
  };
  if (isFloat(dtype))
    return [lazyTensor(dtype, shape, byteLengthOf(dtype, count), () => encodeElements(dtype, compute()))];
  const integers = compute();
  if (!integers.every(Number.isSafeInteger)) return undefined;
  return [tensorOf(dtype, shape, integers)];
};

type Scalar = (a: number, b: number) => number;

const binary = (rule: Scalar): Evaluator =>
  guarded((constants) =>
    constants.call.opset < 7
      ? undefined
      : combined(constants, (operands, index) => {
          let result = operands[0]![index]!;
          for (let at = 1; at < operands.length; at++) result = rule(result, operands[at]![index]!);
          return result;
        }),
  );

const unary = (rule: (a: number) => number): Evaluator =>
  guarded((constants) => combined(constants, ([operand], index) => rule(operand![index]!)));

/** Integer division is truncated; division by zero is left to the engine. */
const divide: Evaluator = guarded((constants) => {
  const [, divisor] = constants.tensors;
  if (constants.call.opset < 7 || !divisor) return undefined;
  if (isFloat(divisor.dtype)) return combined(constants, ([a, b], index) => a![index]! / b![index]!);
  if (Array.from(readNumbers(divisor)).includes(0)) return undefined;
  return combined(constants, ([a, b], index) => Math.trunc(a![index]! / b![index]!));
});

const modulo: Evaluator = guarded((constants) => {
  const [, divisor] = constants.tensors;
  if (!divisor || (!isFloat(divisor.dtype) && Array.from(readNumbers(divisor)).includes(0))) return undefined;
  if (constants.call.node.int('fmod', 0) === 1) return combined(constants, ([a, b], index) => a![index]! % b![index]!);
  return combined(constants, ([a, b], index) => a![index]! - b![index]! * Math.floor(a![index]! / b![index]!));
});

const where: Evaluator = guarded((constants) =>
  combined(constants, ([condition, yes, no], index) => (condition![index] === 0 ? no![index]! : yes![index]!)),
);

const clip: Evaluator = guarded((constants) => {
  const { call, tensors } = constants;
  const low = tensors[1] ? readNumbers(tensors[1])[0]! : call.node.float('min', Number.NEGATIVE_INFINITY);
  const high = tensors[2] ? readNumbers(tensors[2])[0]! : call.node.float('max', Number.POSITIVE_INFINITY);
  const first: ConstantCall = { ...constants, tensors: constants.tensors.slice(0, 1) };
  return combined(first, ([a], index) => Math.min(Math.max(a![index]!, low), high));
});

/** To integers by truncation, to bool by comparison with 0. Floats beyond the integer's range are left to the engine. */
const cast: Evaluator = guarded((constants) => {
  const { call, tensors, outputs } = constants;
  const [tensor] = tensors;
  const [output] = outputs;
  if (!tensor || !output || bitsOf(output.dtype) < 8 || call.node.int('saturate', 1) === 0) return undefined;
  if (isFloat(output.dtype) || output.dtype === 'bool')
    return combined({ ...constants, tensors: [tensor] }, ([a], index) => a![index]!);
  if (!isFloat(tensor.dtype)) return combined({ ...constants, tensors: [tensor] }, ([a], index) => a![index]!);
  const numbers = Array.from(readNumbers(tensor));
  if (numbers.some((number) => !(Math.abs(number) < 2 ** 31))) return undefined;
  if (output.dtype !== 'int64' && output.dtype !== 'int32') return undefined;
  return combined({ ...constants, tensors: [tensor] }, ([a], index) => Math.trunc(a![index]!));
});

const flag = (value: boolean): number => (value ? 1 : 0);

export const arithmeticEvaluators: EvaluatorTable = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: divide,
  Mod: modulo,
  Pow: binary((a, b) => a ** b),
  Max: binary(Math.max),
  Min: binary(Math.min),
  Equal: binary((a, b) => flag(a === b)),
  Greater: binary((a, b) => flag(a > b)),
  GreaterOrEqual: binary((a, b) => flag(a >= b)),
  Less: binary((a, b) => flag(a < b)),
  LessOrEqual: binary((a, b) => flag(a <= b)),
  And: binary((a, b) => flag(a !== 0 && b !== 0)),
  Or: binary((a, b) => flag(a !== 0 || b !== 0)),
  Xor: binary((a, b) => flag((a !== 0) !== (b !== 0))),
  Where: where,
  Clip: clip,
  Cast: cast,
  Abs: unary(Math.abs),
  Ceil: unary(Math.ceil),
  Exp: unary(Math.exp),
  Floor: unary(Math.floor),
  Log: unary(Math.log),
  Neg: unary((a) => -a),
  Not: unary((a) => flag(a === 0)),
  Reciprocal: unary((a) => 1 / a),
  Relu: unary((a) => Math.max(a, 0)),
  Round: unary(roundHalfEven),
  Sign: unary(Math.sign),
  Sqrt: unary(Math.sqrt),
};
