import { type Attribute, type Graph, tensorAttribute } from '../graph.ts';
import { tensorType } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import type { Cursor } from './cursor.ts';
import { parseLiteral, printLiteral } from './literal.ts';
import { parseNumber, printFloatAttribute } from './numbers.ts';
import { parseType, printType } from './types.ts';

/**
 * attribute := integer | float (with a point, an exponent, inf or nan) | string | 'hex' string
 *            | '[' attribute, … ']' of integers, floats or strings | 'ints[]' | 'floats[]' | 'strings[]'
 *            | 'tensor(' type ',' literal ')' | 'tensors[' tensor, … ']' | graph | 'graphs[' graph, … ']'
 *            | 'type(' type ')' | '@' name
 * A list with one float is a list of floats. Floats are rounded to single precision, as files hold them.
 * `@name` stands, in a function body, for the attribute `name` of the call.
 */
export const parseAttribute = (cursor: Cursor, parseGraph: () => Graph): Attribute => {
  cursor.skipBlank();
  const start = cursor.position;
  if (cursor.take('@')) return { kind: 'reference', value: cursor.name('an attribute name') };
  if (cursor.peek('"')) return { kind: 'string', value: new TextEncoder().encode(cursor.string()) };
  if (cursor.take('[')) return parseListAttribute(cursor, start);
  const number = cursor.takeNumber();
  if (number !== undefined)
    return isFloatText(number)
      ? { kind: 'float', value: Math.fround(parseNumber(number)) }
      : { kind: 'int', value: parseInteger(cursor, number, start) };
  if (cursor.peek('graph ') || cursor.peek('graph(')) return { kind: 'graph', value: parseGraph() };
  const word = cursor.name('an attribute value');
  switch (word) {
    case 'hex':
      return { kind: 'string', value: Uint8Array.from(Buffer.from(cursor.string(), 'hex')) };
    case 'ints':
    case 'floats':
    case 'strings':
      cursor.expect('[');
      cursor.expect(']');
      return { kind: word, value: [] };
    case 'tensor':
      return tensorAttribute(parseTensorBody(cursor));
    case 'tensors': {
      const value: Tensor[] = [];
      cursor.expect('[');
      cursor.list(']', () => {
        cursor.expectWord('tensor');
        value.push(parseTensorBody(cursor));
      });
      return { kind: 'tensors', value };
    }
    case 'graphs': {
      const value: Graph[] = [];
      cursor.expect('[');
      cursor.list(']', () => value.push(parseGraph()));
      return { kind: 'graphs', value };
    }
    case 'type': {
      cursor.expect('(');
      const value = parseType(cursor);
      cursor.expect(')');
      return { kind: 'type', value };
    }
    default:
      throw cursor.error(`${JSON.stringify(word)} begins no attribute value`, start);
  }
};

const isFloatText = (text: string): boolean => /[.eni]/i.test(text);

const parseInteger = (cursor: Cursor, text: string, start: number): number => {
  const value = Number(text);
  if (Number.isSafeInteger(value) || Math.abs(value) === endOfIntegers) return value;
  throw cursor.error(`the integer ${text} does not fit 53 bits`, start);
};

/** 2^63 as a double stands for "to the end", the largest 64-bit integer; -2^63 for the smallest. */
const endOfIntegers = 2 ** 63;

const printInteger = (value: number): string => {
  if (Math.abs(value) < endOfIntegers) return String(value);
  return value > 0 ? '9223372036854775807' : '-9223372036854775808';
};

const parseListAttribute = (cursor: Cursor, start: number): Attribute => {
  const numbers: string[] = [];
  const strings: Uint8Array[] = [];
  cursor.list(']', () => {
    const number = cursor.takeNumber();
    if (number === undefined) strings.push(new TextEncoder().encode(cursor.string()));
    else numbers.push(number);
  });
  if (numbers.length > 0 && strings.length > 0) throw cursor.error('a list holds numbers or strings, not both', start);
  if (strings.length > 0) return { kind: 'strings', value: strings };
  if (numbers.length === 0)
    throw cursor.error('write an empty list with its kind: ints[], floats[] or strings[]', start);
  if (numbers.some(isFloatText))
    return { kind: 'floats', value: numbers.map((text) => Math.fround(parseNumber(text))) };
  return { kind: 'ints', value: numbers.map((text) => parseInteger(cursor, text, start)) };
};

/** '(' type ',' literal ')' */
const parseTensorBody = (cursor: Cursor): Tensor => {
  cursor.expect('(');
  const start = cursor.position;
  const type = parseType(cursor);
  if (type.kind !== 'tensor' || !type.dtype) throw cursor.error('a tensor needs an element type', start);
  cursor.expect(',');
  const tensor = parseLiteral(cursor, type.dtype, type.shape);
  cursor.expect(')');
  return tensor;
};

export interface AttributePrinter {
  readonly inlineElements: number;
  /** Name of the attribute's node or output: seeds placeholders. */
  readonly owner: string;
  printGraph(graph: Graph): string;
}

const printBytes = (bytes: Uint8Array): string => {
  try {
    return JSON.stringify(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return `hex ${JSON.stringify(Buffer.from(bytes).toString('hex'))}`;
  }
};

const printTensor = (tensor: Tensor, printer: AttributePrinter): string =>
  `tensor(${printType(tensorType(tensor.dtype, tensor.shape))}, ${printLiteral(tensor, printer.owner, printer.inlineElements)})`;

const printList = (kind: string, items: readonly string[]): string =>
  items.length === 0 ? `${kind}[]` : `[${items.join(', ')}]`;

/** The text of an attribute's value; see parseAttribute. Fields that the IR only carries print as `carried`. */
export const printAttribute = (attribute: Attribute, printer: AttributePrinter): string => {
  switch (attribute.kind) {
    case 'int':
      return printInteger(attribute.value);
    case 'float':
      return printFloatAttribute(attribute.value);
    case 'string':
      return printBytes(attribute.value);
    case 'ints':
      return printList('ints', attribute.value.map(printInteger));
    case 'floats':
      return printList('floats', attribute.value.map(printFloatAttribute));
    case 'strings':
      return printList(
        'strings',
        attribute.value.map((bytes) => JSON.stringify(new TextDecoder().decode(bytes))),
      );
    case 'tensor':
      return printTensor(attribute.value, printer);
    case 'tensors':
      return `tensors[${attribute.value.map((tensor) => printTensor(tensor, printer)).join(', ')}]`;
    case 'graph':
      return printer.printGraph(attribute.value);
    case 'graphs':
      return `graphs[${attribute.value.map((graph) => printer.printGraph(graph)).join(', ')}]`;
    case 'type':
      return `type(${printType(attribute.value)})`;
    case 'reference':
      return `@${attribute.value}`;
    case 'carried':
      return 'carried';
  }
};
