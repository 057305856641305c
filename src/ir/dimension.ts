import {
  addPolynomials,
  atomPolynomial,
  constantOfPolynomial,
  constantPolynomial,
  divideExactly,
  evaluatePolynomial,
  extremePolynomial,
  floorQuotient,
  isNonNegative,
  multiplyPolynomials,
  type Polynomial,
  polynomialSign,
  printPolynomial,
  subtractPolynomials,
} from './polynomial.ts';
import { parseDimensionText } from './polynomial-text.ts';
import type { Dim, Shape } from './shape.ts';

/**
 * Arithmetic on dimensions. A dimension is a number, an expression over symbols, or null (nothing known; null is
 * absorbing). Symbols stand for integers ≥ 0. Results are canonical: equal polynomials have equal text.
 * A text that is no expression (see polynomial-text.ts) is one symbol, written in single quotes.
 */

const parsed = new Map<string, Polynomial>();
const largestCache = 50_000;

const polynomialOf = (dim: number | string): Polynomial => {
  if (typeof dim === 'number') return constantPolynomial(dim);
  const known = parsed.get(dim);
  if (known) return known;
  const polynomial = parseDimensionText(dim) ?? atomPolynomial(`'${dim.replaceAll("'", '')}'`);
  if (parsed.size >= largestCache) parsed.clear();
  parsed.set(dim, polynomial);
  return polynomial;
};

/** Longer sums are given up: no honest model needs them, and products of them would fill the memory. */
const mostTerms = 256;

const dimOf = (polynomial: Polynomial): Dim =>
  polynomial.size > mostTerms ? null : (constantOfPolynomial(polynomial) ?? printPolynomial(polynomial));

/** The canonical form of a dimension: a number where it is constant, canonical text else. */
export const canonicalDim = (dim: Dim): Dim => (typeof dim === 'string' ? dimOf(polynomialOf(dim)) : dim);

/** Numbers are computed directly, expressions by `rule`, null gives null. */
const combine = (
  a: Dim,
  b: Dim,
  numbers: (a: number, b: number) => number,
  rule: (a: Polynomial, b: Polynomial) => Polynomial,
): Dim => {
  if (a === null || b === null) return null;
  if (typeof a === 'number' && typeof b === 'number') return numbers(a, b);
  return dimOf(rule(polynomialOf(a), polynomialOf(b)));
};

export const addDims = (a: Dim, b: Dim): Dim => combine(a, b, (x, y) => x + y, addPolynomials);

export const subtractDims = (a: Dim, b: Dim): Dim => combine(a, b, (x, y) => x - y, subtractPolynomials);

/** The product; a factor 0 wins over unknown ones. */
export const multiplyDims = (a: Dim, b: Dim): Dim =>
  a === 0 || b === 0 ? 0 : combine(a, b, (x, y) => x * y, multiplyPolynomials);

/** floor(a / b); null for a division by zero. */
export const floorDivideDims = (a: Dim, b: Dim): Dim =>
  b === 0 ? null : combine(a, b, (x, y) => Math.floor(x / y), floorQuotient);

/** ceil(a / b); null for a division by zero. */
export const ceilDivideDims = (a: Dim, b: Dim): Dim => subtractDims(0, floorDivideDims(subtractDims(0, a), b));

/** a / b where b divides a (the -1 of a Reshape); null where that cannot be seen. */
export const divideDimsExactly = (a: Dim, b: Dim): Dim => {
  if (a === null || b === null || b === 0) return null;
  const quotient = divideExactly(polynomialOf(a), polynomialOf(b));
  return quotient ? dimOf(quotient) : null;
};

/** The larger one; `max(a,b)` where that depends on the symbols. */
export const maxDims = (a: Dim, b: Dim): Dim => combine(a, b, Math.max, (x, y) => extremePolynomial('max', x, y));

/** The smaller one; `min(a,b)` where that depends on the symbols. */
export const minDims = (a: Dim, b: Dim): Dim => combine(a, b, Math.min, (x, y) => extremePolynomial('min', x, y));

/** Product of all dimensions: the number of elements. */
export const productOfDims = (dims: readonly Dim[]): Dim => dims.reduce<Dim>(multiplyDims, 1);

/** True when both are equal for all values of the symbols, false when they differ for all, undefined else. */
export const sameDim = (a: Dim, b: Dim): boolean | undefined => {
  if (a === null || b === null) return undefined;
  if (typeof a === 'number' && typeof b === 'number') return a === b;
  const sign = polynomialSign(subtractPolynomials(polynomialOf(a), polynomialOf(b)));
  if (sign === 'zero') return true;
  return sign === 'positive' || sign === 'negative' ? false : undefined;
};

/** Whether a dimension is at least 0 for all values of its symbols; undefined where that is not decided. */
export const isNonNegativeDim = (dim: Dim): boolean | undefined => {
  if (dim === null) return undefined;
  const polynomial = polynomialOf(dim);
  if (isNonNegative(polynomial)) return true;
  return polynomialSign(polynomial) === 'negative' ? false : undefined;
};

/** Shapes that are the same for all values of their symbols. */
export const sameShape = (a: Shape | undefined, b: Shape | undefined): boolean =>
  a !== undefined &&
  b !== undefined &&
  a.length === b.length &&
  a.every((dim, axis) => sameDim(dim, b[axis]!) === true);

/** The number that a dimension is for given values of its symbols (names as in canonical text); null when one is missing. */
export const evaluateDim = (dim: Dim, symbols: ReadonlyMap<string, number>): number | null =>
  dim === null ? null : (evaluatePolynomial(polynomialOf(dim), (name) => symbols.get(name)) ?? null);
