import { type DataType, dataTypes } from '../data-type.ts';
import { canonicalDim } from '../dimension.ts';
import { type Dim, formatShape, type Shape, tensorType, type ValueType } from '../shape.ts';
import type { Cursor } from './cursor.ts';

/**
 * type := dtype shape? | 'sequence<' type '>' | 'optional<' type '>' | 'map<' dtype ',' type '>' | 'sparse<' dtype shape? '>'
 * dtype := 'float32' | … | '?'        shape := '[' (dimension (',' dimension)*)? ']'
 * Without a shape the rank is unknown; `[]` is a scalar; the dimension `?` is unknown.
 */
export const parseType = (cursor: Cursor): ValueType => {
  const start = cursor.position;
  if (cursor.take('?')) return tensorType(undefined, parseShape(cursor));
  const word = cursor.name('a type');
  switch (word) {
    case 'sequence':
    case 'optional': {
      cursor.expect('<');
      const element = parseType(cursor);
      cursor.expect('>');
      return { kind: word, element };
    }
    case 'map': {
      cursor.expect('<');
      const key = parseDataType(cursor);
      cursor.expect(',');
      const value = parseType(cursor);
      cursor.expect('>');
      return { kind: 'map', key, value };
    }
    case 'sparse': {
      cursor.expect('<');
      const dtype = cursor.take('?') ? undefined : parseDataType(cursor);
      const shape = parseShape(cursor);
      cursor.expect('>');
      return { kind: 'sparse-tensor', dtype, shape };
    }
    default:
      cursor.rewind(start);
      return tensorType(parseDataType(cursor), parseShape(cursor));
  }
};

const parseDataType = (cursor: Cursor): DataType => {
  cursor.skipBlank();
  const start = cursor.position;
  const word = cursor.name('an element type');
  if (word in dataTypes) return word as DataType;
  throw cursor.error(`${JSON.stringify(word)} is no element type (known: ${Object.keys(dataTypes).join(', ')})`, start);
};

const parseShape = (cursor: Cursor): Shape | undefined => {
  if (!cursor.take('[')) return undefined;
  const shape: Dim[] = [];
  cursor.list(']', () => {
    const start = cursor.position;
    const text = cursor.rawUntil(',]');
    if (text === '') throw cursor.error('expected a dimension', start);
    shape.push(text === '?' ? null : canonicalDim(text));
  });
  return shape;
};

const printShape = (shape: Shape | undefined): string => (shape ? formatShape(shape.map(canonicalDim)) : '');

/** The text of a type; see parseType. */
export const printType = (type: ValueType): string => {
  switch (type.kind) {
    case 'tensor':
      return `${type.dtype ?? '?'}${printShape(type.shape)}`;
    case 'sparse-tensor':
      return `sparse<${type.dtype ?? '?'}${printShape(type.shape)}>`;
    case 'sequence':
    case 'optional':
      return `${type.kind}<${printType(type.element)}>`;
    case 'map':
      return `map<${type.key}, ${printType(type.value)}>`;
  }
};
