import { Random } from '../../random.ts';
import { byteLengthOf, type DataType, isFloat } from '../data-type.ts';
import { PackedTensor } from '../packed-tensor.ts';
import { tensorOf } from '../read.ts';
import { elementCount } from '../shape.ts';
import { MemoryTensor, StringTensor, type Tensor } from '../tensor.ts';
import type { Cursor } from './cursor.ts';

/**
 * Constants described by a rule instead of by their elements:
 *   zeros   ones   range (0, 1, 2, …)   fill(3)
 *   random(seed=1, scale=0.5)            approximately normal, mean 0, deviation `scale` (default 1)
 *   integers(seed=1, low=0, high=10)     uniform in low .. high-1
 *   packed(bits=4, group_size=32, layout="rows-last", zero_points=true, method="rtn", seed=1)
 *                                        a quantized weight with random codes; group_size -1: one scale a row
 *   placeholder(seed=1)                  what the printer writes for large constants: other elements than the original
 */
const fillWords = ['zeros', 'ones', 'range', 'fill', 'random', 'integers', 'packed', 'placeholder'] as const;
type FillWord = (typeof fillWords)[number];

/** The rule that a tensor was made by, so that printing gives it back. */
const rules = new WeakMap<Tensor, string>();
export const ruleOf = (tensor: Tensor): string | undefined => rules.get(tensor);

type Arguments = Map<string, number | string | boolean>;

const parseArguments = (cursor: Cursor): Arguments => {
  const found: Arguments = new Map();
  if (!cursor.take('(')) return found;
  cursor.list(')', () => {
    const start = cursor.position;
    const number = cursor.takeNumber();
    if (number !== undefined && !cursor.peek('=')) {
      found.set('value', Number(number));
      return;
    }
    cursor.rewind(start);
    const key = cursor.name('an argument');
    cursor.expect('=');
    const value = cursor.takeNumber();
    if (value !== undefined) found.set(key, Number(value));
    else if (cursor.peek('"')) found.set(key, cursor.string());
    else if (cursor.takeWord('true')) found.set(key, true);
    else {
      cursor.expectWord('false');
      found.set(key, false);
    }
  });
  return found;
};

const printArguments = (entries: readonly (readonly [string, number | string | boolean])[]): string =>
  entries.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(', ');

/** Parses a fill rule for a constant of this type. @throws 'malformed' with line and column. */
export const parseFill = (cursor: Cursor, dtype: DataType, shape: readonly number[]): Tensor => {
  const start = cursor.position;
  const word = cursor.name('a fill rule') as FillWord;
  const given = parseArguments(cursor);
  const used = new Set<string>();
  const number = (key: string, fallback?: number): number => {
    used.add(key);
    const value = given.get(key) ?? fallback;
    if (typeof value === 'number') return value;
    throw cursor.error(`${word} needs the number ${key}`, start);
  };
  const other = <T extends string | boolean>(key: string, fallback: T): T => {
    used.add(key);
    const value = given.get(key) ?? fallback;
    if (typeof value === typeof fallback) return value as T;
    throw cursor.error(`${word}: ${key} must be a ${typeof fallback}`, start);
  };
  const count = elementCount(shape);
  const numbers = (element: (index: number) => number): Tensor =>
    tensorOf(
      dtype,
      shape,
      Array.from({ length: count }, (_, index) => element(index)),
    );
  const make = (): [Tensor, string] => {
    switch (word) {
      case 'zeros':
        return [numbers(() => 0), word];
      case 'ones':
        return [numbers(() => 1), word];
      case 'range':
        return [numbers((index) => index), word];
      case 'fill': {
        const value = number('value');
        return [numbers(() => value), `fill(${value})`];
      }
      case 'random': {
        if (!isFloat(dtype))
          throw cursor.error(`random makes floating-point numbers; use integers(…) for ${dtype}`, start);
        const seed = number('seed');
        const scale = number('scale', 1);
        const rule = scale === 1 ? `random(seed=${seed})` : `random(seed=${seed}, scale=${scale})`;
        return [tensorOf(dtype, shape, new Random(seed).normals(count, scale)), rule];
      }
      case 'integers': {
        const seed = number('seed');
        const low = number('low', 0);
        const high = number('high', 10);
        const random = new Random(seed);
        return [
          numbers(() => low + random.integer(high - low)),
          `integers(${printArguments([
            ['seed', seed],
            ['low', low],
            ['high', high],
          ])})`,
        ];
      }
      case 'packed':
        return makePacked(cursor, start, { dtype, shape, number, other });
      case 'placeholder': {
        const seed = number('seed');
        return [placeholder(dtype, shape, seed), `placeholder(seed=${seed})`];
      }
      default:
        throw cursor.error(`${JSON.stringify(word)} is no fill rule (known: ${fillWords.join(', ')})`, start);
    }
  };
  const [tensor, rule] = make();
  for (const key of given.keys()) if (!used.has(key)) throw cursor.error(`${word} has no argument ${key}`, start);
  rules.set(tensor, rule);
  return tensor;
};

const placeholder = (dtype: DataType, shape: readonly number[], seed: number): Tensor => {
  const count = elementCount(shape);
  if (dtype === 'string')
    return new StringTensor(
      shape,
      Array.from({ length: count }, () => new Uint8Array()),
    );
  if (!isFloat(dtype)) return new MemoryTensor(dtype, shape, new Uint8Array(byteLengthOf(dtype, count)));
  return tensorOf(dtype, shape, new Random(seed).normals(count));
};

interface PackedArguments {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  number(key: string, fallback?: number): number;
  other<T extends string | boolean>(key: string, fallback: T): T;
}

const makePacked = (cursor: Cursor, start: number, given: PackedArguments): [PackedTensor, string] => {
  const { dtype, shape } = given;
  if (dtype !== 'float32' && dtype !== 'float16' && dtype !== 'bfloat16')
    throw cursor.error(`a packed weight stands for float32, float16 or bfloat16, not ${dtype}`, start);
  const bits = given.number('bits', 4);
  const layout = given.other<string>('layout', 'rows-first');
  if (layout !== 'rows-first' && layout !== 'rows-last')
    throw cursor.error(`layout is "rows-first" or "rows-last", found ${JSON.stringify(layout)}`, start);
  const wanted = given.number('group_size', -1);
  const zeros = given.other<boolean>('zero_points', true);
  const method = given.other<string>('method', 'rtn');
  const seed = given.number('seed', 0);
  const rows = layout === 'rows-first' ? (shape[0] ?? 1) : (shape.at(-1) ?? 1);
  const columns = rows === 0 ? 0 : elementCount(shape) / rows;
  const groupSize = wanted === -1 ? columns : wanted;
  const storedBits = bits <= 2 ? 2 : bits <= 4 ? 4 : 8;
  const random = new Random(seed);
  const rowBytes = Math.ceil((columns * storedBits) / 8);
  const perByte = 8 / storedBits;
  const codes = Uint8Array.from({ length: rows * rowBytes }, (_, index) => {
    let byte = 0;
    for (let slot = 0; slot < perByte; slot++) {
      const code = random.integer(2 ** bits);
      if ((index % rowBytes) * perByte + slot < columns) byte |= code << (slot * storedBits);
    }
    return byte;
  });
  const scaleCount = rows * Math.ceil(columns / groupSize);
  const tensor = new PackedTensor({
    dtype,
    shape,
    layout,
    rows,
    columns,
    bits,
    storedBits,
    groupSize,
    codes,
    scales: Float32Array.from({ length: scaleCount }, () => 0.01 + 0.01 * random.float()),
    zeroPoints: zeros ? Uint8Array.from({ length: scaleCount }, () => random.integer(2 ** bits)) : null,
    method,
  });
  return [tensor, printPacked(tensor, seed)];
};

/** The rule that stands for a packed weight: its facts, with other codes. */
export const printPacked = (tensor: PackedTensor, seed: number): string => {
  const { bits, groupSize, columns, layout, zeroPoints, method } = tensor.facts;
  return `packed(${printArguments([
    ['bits', bits],
    ['group_size', groupSize === columns ? -1 : groupSize],
    ['layout', layout],
    ['zero_points', zeroPoints !== null],
    ['method', method],
    ['seed', seed],
  ])})`;
};
