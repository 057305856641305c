import {
  addDims,
  divideDimsExactly,
  floorDivideDims,
  isNonNegativeDim,
  maxDims,
  minDims,
  multiplyDims,
  sameDim,
  subtractDims,
} from '../dimension.ts';
import { type Dim, elementCount, isStatic, type Shape } from '../shape.ts';
import { broadcastView, pickView, wholeView } from '../strided.ts';
import type { Call } from './call.ts';
import { largestContents } from './fact.ts';

/** Elementwise arithmetic on followed contents (see Fact.contents). */
type Binary = (a: Dim, b: Dim, whole: boolean) => Dim;

/** Expressions are whole numbers: arithmetic with a fraction on one side and an expression on the other gives null. */
const guarded =
  (rule: (a: Dim, b: Dim) => Dim): Binary =>
  (a, b) => {
    const mixed = (x: Dim, y: Dim): boolean => typeof x === 'string' && typeof y === 'number' && !Number.isInteger(y);
    return mixed(a, b) || mixed(b, a) ? null : rule(a, b);
  };

const numeric =
  (rule: (a: number, b: number) => number): Binary =>
  (a, b) =>
    typeof a === 'number' && typeof b === 'number' ? rule(a, b) : null;

/** Division of integers is truncated; expressions of unknown sign are left out. */
const divide: Binary = (a, b, whole) => {
  if (typeof a === 'number' && typeof b === 'number') return b === 0 ? null : whole ? Math.trunc(a / b) : a / b;
  if (!whole) return divideDimsExactly(a, b);
  return isNonNegativeDim(a) && isNonNegativeDim(b) ? floorDivideDims(a, b) : divideDimsExactly(a, b);
};

/** The remainder has the sign of the divisor, or of the dividend with fmod. */
const truncatedModulo: Binary = (a, b, whole) => {
  if (typeof a === 'number' && typeof b === 'number') return b === 0 ? null : a % b;
  return isNonNegativeDim(a) && isNonNegativeDim(b) ? modulo(a, b, whole) : null;
};

const modulo: Binary = (a, b) => {
  if (typeof a === 'number' && typeof b === 'number') return b === 0 ? null : a - b * Math.floor(a / b);
  return b === 0 ? null : subtractDims(a, multiplyDims(b, floorDivideDims(a, b)));
};

const flag = (value: boolean | undefined): Dim => (value === undefined ? null : value ? 1 : 0);

const equal: Binary = (a, b) => flag(sameDim(a, b));

/** a < b, where the sign of the difference decides it. */
const less: Binary = (a, b) => {
  const distance = subtractDims(b, a);
  if (isNonNegativeDim(subtractDims(distance, 1))) return 1;
  return isNonNegativeDim(subtractDims(a, b)) ? 0 : null;
};

const lessOrEqual: Binary = (a, b) => {
  if (isNonNegativeDim(subtractDims(b, a))) return 1;
  return isNonNegativeDim(subtractDims(subtractDims(a, b), 1)) ? 0 : null;
};

const both: Binary = (a, b) => (a === 0 || b === 0 ? 0 : a === null || b === null ? null : 1);
const either: Binary = (a, b) => (a === 1 || b === 1 ? 1 : a === null || b === null ? null : 0);

const ordered =
  (numbers: (a: number, b: number) => boolean, rule: Binary): Binary =>
  (a, b, whole) =>
    typeof a === 'number' && typeof b === 'number' ? flag(numbers(a, b)) : rule(a, b, whole);

const binaryRules: Readonly<Record<string, Binary>> = {
  Add: guarded(addDims),
  Sub: guarded(subtractDims),
  Mul: guarded(multiplyDims),
  Div: divide,
  Mod: modulo,
  FMod: truncatedModulo,
  Pow: numeric((a, b) => a ** b),
  Max: guarded(maxDims),
  Min: guarded(minDims),
  Equal: equal,
  Less: ordered((a, b) => a < b, less),
  Greater: ordered(
    (a, b) => a > b,
    (a, b, whole) => less(b, a, whole),
  ),
  LessOrEqual: ordered((a, b) => a <= b, lessOrEqual),
  GreaterOrEqual: ordered(
    (a, b) => a >= b,
    (a, b, whole) => lessOrEqual(b, a, whole),
  ),
  And: both,
  Or: either,
};

const unaryNumeric: Readonly<Record<string, (a: number) => number>> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Floor: Math.floor,
  Sqrt: Math.sqrt,
  Reciprocal: (a) => 1 / a,
  Sign: Math.sign,
};

/** Elements of operand `contents` repeated to `shape`. */
const spread = (contents: readonly Dim[], from: readonly number[], shape: readonly number[]): Dim[] =>
  pickView(broadcastView(wholeView(from), shape), contents);

/** Contents of an elementwise operator's result of this shape, where all operands are followed. */
export const elementwiseContents = (call: Call, shape: Shape | undefined): readonly Dim[] | undefined => {
  if (!isStatic(shape) || elementCount(shape) > largestContents) return undefined;
  const operands: Dim[][] = [];
  for (let index = 0; index < call.node.inputs.length; index++) {
    const from = call.shape(index);
    const contents = call.contents(index);
    if (!contents || !isStatic(from)) return undefined;
    operands.push(spread(contents, from, shape));
  }
  const whole = call.dtype(0) !== 'float32' && call.dtype(0) !== 'float16' && call.dtype(0) !== 'float64';
  const truncated = call.node.op === 'Mod' && call.node.int('fmod', 0) === 1;
  return combineContents(truncated ? 'FMod' : call.node.op, operands, whole);
};

const combineContents = (op: string, operands: readonly Dim[][], whole: boolean): readonly Dim[] | undefined => {
  const [first, second, third] = operands;
  if (!first) return undefined;
  if (op === 'Where')
    return first.map((condition, index) => chooseDim(condition, second?.[index] ?? null, third?.[index] ?? null));
  const binary = binaryRules[op];
  if (binary)
    return operands.slice(1).reduce<Dim[]>((sum, next) => sum.map((a, index) => binary(a, next[index]!, whole)), first);
  if (op === 'Not') return first.map((a) => (a === null ? null : a === 0 ? 1 : 0));
  if (op === 'Neg') return first.map((a) => subtractDims(0, a));
  const unary = unaryNumeric[op];
  if (!unary) return undefined;
  return first.map((a) => {
    if (typeof a === 'number') return unary(a);
    const unchanged = op === 'Ceil' || op === 'Floor' || (op === 'Abs' && isNonNegativeDim(a) === true);
    return unchanged ? a : null;
  });
};

const chooseDim = (condition: Dim, yes: Dim, no: Dim): Dim => {
  if (condition === null) return sameDim(yes, no) ? yes : null;
  return condition === 0 ? no : yes;
};
