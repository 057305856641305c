import type { DataType } from '../data-type.ts';
import { decodeElements, encodeElements } from '../elements.ts';

/** The number as an element of `dtype` holds it. */
const rounded = (dtype: DataType, value: number): number =>
  decodeElements(dtype, encodeElements(dtype, [value]), 1)[0]!;

const special = (value: number): string | undefined => {
  if (Number.isNaN(value)) return 'nan';
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0' : undefined;
  return value > 0 ? 'inf' : '-inf';
};

/** The shortest decimal that rounds to the same element of `dtype`. */
export const printElement = (dtype: DataType, value: number): string => {
  const word = special(value);
  if (word !== undefined) return word;
  if (dtype === 'float64' || Number.isInteger(value)) return String(value);
  for (let digits = 1; digits <= 9; digits++) {
    const text = String(Number(value.toPrecision(digits)));
    if (Object.is(rounded(dtype, Number(text)), rounded(dtype, value))) return text;
  }
  return String(value);
};

/** A floating-point attribute: single precision, always with a point, an exponent or a word. */
export const printFloatAttribute = (value: number): string => {
  const text = printElement('float32', value);
  return /[.eni]/.test(text) ? text : `${text}.0`;
};

/** The value of a number's text, words included. */
export const parseNumber = (text: string): number => {
  if (text.endsWith('inf')) return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return text.endsWith('nan') ? Number.NaN : Number(text);
};
