import { type DataType, isFloat } from '../data-type.ts';
import { PackedTensor } from '../packed-tensor.ts';
import { readNumbers, tensorOf } from '../read.ts';
import { elementCount, formatShape, type Shape } from '../shape.ts';
import { MemoryTensor, StringTensor, type Tensor } from '../tensor.ts';
import type { Cursor } from './cursor.ts';
import { parseFill, printPacked, ruleOf } from './fill.ts';
import { parseNumber, printElement } from './numbers.ts';

/**
 * literal := fill | element | '[' (literal (',' literal)*)? ']'
 * element := number | 'true' | 'false' | 'inf' | '-inf' | 'nan' | string
 * The nesting must agree with the shape; a type without shape takes the literal's. `[]` stands for no elements.
 */
export const parseLiteral = (cursor: Cursor, dtype: DataType, stated: Shape | undefined): Tensor => {
  cursor.skipBlank();
  const start = cursor.position;
  const shape = stated?.map((dim) => {
    if (typeof dim === 'number' && dim >= 0) return dim;
    throw cursor.error(`a constant needs a shape of numbers, found ${formatShape(stated)}`, start);
  });
  if (!/[-+[\d".]|true|false|inf|nan/y.test(cursor.text.slice(start, start + 5)))
    return parseFill(cursor, dtype, shape ?? []);
  const elements: string[] = [];
  const found = parseNested(cursor, dtype === 'string', elements);
  const empty = elements.length === 0 && shape !== undefined && elementCount(shape) === 0;
  if (shape && !empty && (shape.length !== found.length || shape.some((dim, axis) => dim !== found[axis])))
    throw cursor.error(`the literal has shape ${formatShape(found)}, the type says ${formatShape(shape)}`, start);
  return makeTensor(cursor, start, dtype, shape ?? found, elements);
};

const parseNested = (cursor: Cursor, strings: boolean, elements: string[]): number[] => {
  if (!cursor.take('[')) {
    elements.push(parseElement(cursor, strings));
    return [];
  }
  let inner: number[] | undefined;
  let count = 0;
  cursor.list(']', () => {
    cursor.skipBlank();
    const start = cursor.position;
    const shape = parseNested(cursor, strings, elements);
    if (inner && (inner.length !== shape.length || inner.some((dim, axis) => dim !== shape[axis])))
      throw cursor.error(`this part has shape ${formatShape(shape)}, those before it ${formatShape(inner)}`, start);
    inner = shape;
    count++;
  });
  return [count, ...(inner ?? [])];
};

const parseElement = (cursor: Cursor, strings: boolean): string => {
  if (strings) return cursor.string();
  if (cursor.takeWord('true')) return '1';
  if (cursor.takeWord('false')) return '0';
  const text = cursor.takeNumber();
  if (text === undefined) throw cursor.error(`expected a number, found ${cursor.found()}`);
  return text;
};

const makeTensor = (
  cursor: Cursor,
  start: number,
  dtype: DataType,
  shape: readonly number[],
  elements: readonly string[],
): Tensor => {
  if (dtype === 'string')
    return new StringTensor(
      shape,
      elements.map((text) => new TextEncoder().encode(text)),
    );
  if (!isFloat(dtype) && elements.some((text) => !/^[-+]?\d+$/.test(text)))
    throw cursor.error(`${dtype} elements must be integers`, start);
  if (dtype !== 'int64' && dtype !== 'uint64') return tensorOf(dtype, shape, elements.map(parseNumber));
  const words = BigInt64Array.from(elements, (text) => BigInt(text.replace(/^\+/, '')));
  return new MemoryTensor(dtype, shape, new Uint8Array(words.buffer));
};

const elementTexts = (tensor: Tensor): string[] => {
  const { dtype } = tensor;
  if (tensor instanceof StringTensor)
    return tensor.strings.map((bytes) => JSON.stringify(new TextDecoder().decode(bytes)));
  if (dtype === 'int64' || dtype === 'uint64') {
    const bytes = Uint8Array.from(tensor.bytes());
    return Array.from(dtype === 'int64' ? new BigInt64Array(bytes.buffer) : new BigUint64Array(bytes.buffer), String);
  }
  if (dtype === 'bool') return Array.from(readNumbers(tensor), (value) => (value === 0 ? 'false' : 'true'));
  return Array.from(readNumbers(tensor), (value) => printElement(dtype, value));
};

const nest = (texts: readonly string[], shape: readonly number[]): string => {
  const [first, ...rest] = shape;
  if (first === undefined) return texts[0] ?? '';
  const size = elementCount(rest);
  return `[${Array.from({ length: first }, (_, index) => nest(texts.slice(index * size, (index + 1) * size), rest)).join(', ')}]`;
};

/** A seed from a name (FNV-1a), so that placeholders differ and stay the same. */
const seedOf = (name: string): number => {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % 100_000;
};

/** The text of a constant: its rule, its elements when there are at most `inlineElements`, else a placeholder. */
export const printLiteral = (tensor: Tensor, name: string, inlineElements: number): string => {
  const rule = ruleOf(tensor);
  if (rule !== undefined) return rule;
  if (tensor instanceof PackedTensor) return printPacked(tensor, seedOf(name));
  const count = elementCount(tensor.shape);
  const complex = tensor.dtype === 'complex64' || tensor.dtype === 'complex128';
  if (count > inlineElements || complex) return `placeholder(seed=${seedOf(name)})`;
  return count === 0 ? '[]' : nest(elementTexts(tensor), tensor.shape);
};
