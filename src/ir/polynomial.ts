/**
 * Polynomials with integer coefficients over atoms. An atom is a symbol (an integer ≥ 0) or a composite `floor(a/b)`,
 * `max(a,b)`, `min(a,b)` of polynomials. Terms are kept by the text of their atoms, so equal polynomials are equal maps.
 */
export interface Term {
  readonly coefficient: number;
  /** Sorted; an atom of power n stands n times. Empty for the constant term. */
  readonly atoms: readonly string[];
}
export type Polynomial = ReadonlyMap<string, Term>;

interface Composite {
  readonly kind: 'floor' | 'max' | 'min';
  readonly a: Polynomial;
  readonly b: Polynomial;
}

/** What composite atoms are made of, by their text. */
const composites = new Map<string, Composite>();

const fromTerms = (terms: Iterable<Term>): Polynomial => {
  const sums = new Map<string, Term>();
  for (const { coefficient, atoms } of terms) {
    const key = atoms.join('*');
    const sum = (sums.get(key)?.coefficient ?? 0) + coefficient;
    if (sum === 0) sums.delete(key);
    else sums.set(key, { coefficient: sum, atoms });
  }
  return sums;
};

export const constantPolynomial = (value: number): Polynomial => fromTerms([{ coefficient: value, atoms: [] }]);
export const atomPolynomial = (atom: string): Polynomial => fromTerms([{ coefficient: 1, atoms: [atom] }]);

/** The value of a polynomial without atoms; undefined for others. */
export const constantOfPolynomial = (p: Polynomial): number | undefined => {
  if (p.size === 0) return 0;
  return p.size === 1 ? p.get('')?.coefficient : undefined;
};

export const addPolynomials = (a: Polynomial, b: Polynomial): Polynomial => fromTerms([...a.values(), ...b.values()]);

const scalePolynomial = (p: Polynomial, factor: number): Polynomial =>
  fromTerms([...p.values()].map(({ coefficient, atoms }) => ({ coefficient: coefficient * factor, atoms })));

export const subtractPolynomials = (a: Polynomial, b: Polynomial): Polynomial =>
  addPolynomials(a, scalePolynomial(b, -1));

const multiplyTerms = (a: Term, b: Term): Term => ({
  coefficient: a.coefficient * b.coefficient,
  atoms: [...a.atoms, ...b.atoms].sort(),
});

export const multiplyPolynomials = (a: Polynomial, b: Polynomial): Polynomial =>
  fromTerms([...a.values()].flatMap((x) => [...b.values()].map((y) => multiplyTerms(x, y))));

/** Terms from the highest degree down, then by text; the constant is last. */
const orderedTerms = (p: Polynomial): Term[] =>
  [...p.entries()]
    .sort(([a, x], [b, y]) => y.atoms.length - x.atoms.length || (a < b ? -1 : 1))
    .map(([, term]) => term);

const printTerm = ({ coefficient, atoms }: Term): string => {
  if (atoms.length === 0) return String(coefficient);
  const product = atoms.join('*');
  if (coefficient === 1) return product;
  return coefficient === -1 ? `-${product}` : `${coefficient}*${product}`;
};

/** Canonical text: `2*sequence+1`, `batch*sequence`, `floor((n+1)/2)`. */
export const printPolynomial = (p: Polynomial): string => {
  if (p.size === 0) return '0';
  return orderedTerms(p)
    .map(printTerm)
    .map((text, index) => (index === 0 || text.startsWith('-') ? text : `+${text}`))
    .join('');
};

/** What is known of the sign when every symbol is at least 0. */
export type Sign = 'zero' | 'positive' | 'negative' | 'nonnegative' | 'nonpositive' | undefined;

const atomIsNonNegative = (atom: string): boolean => {
  const composite = composites.get(atom);
  if (!composite) return true;
  const a = isNonNegative(composite.a);
  const b = isNonNegative(composite.b);
  return composite.kind === 'max' ? a || b : a && b;
};

export const polynomialSign = (p: Polynomial): Sign => {
  if (p.size === 0) return 'zero';
  let positive = true;
  let negative = true;
  for (const { coefficient, atoms } of p.values()) {
    if (!atoms.every(atomIsNonNegative)) return undefined;
    if (coefficient < 0) positive = false;
    else negative = false;
  }
  const strict = p.has('');
  if (positive) return strict ? 'positive' : 'nonnegative';
  if (negative) return strict ? 'negative' : 'nonpositive';
  return undefined;
};

export const isNonNegative = (p: Polynomial): boolean => {
  const sign = polynomialSign(p);
  return sign === 'zero' || sign === 'positive' || sign === 'nonnegative';
};

/** The term `a / b`, or undefined when b's atoms or coefficient do not divide a's. */
const divideTerm = (a: Term, b: Term): Term | undefined => {
  const atoms = [...a.atoms];
  for (const atom of b.atoms) {
    const index = atoms.indexOf(atom);
    if (index < 0) return undefined;
    atoms.splice(index, 1);
  }
  const coefficient = a.coefficient / b.coefficient;
  return Number.isInteger(coefficient) ? { coefficient, atoms } : undefined;
};

/** The quotient when b divides a without a rest as polynomials, else undefined. */
export const divideExactly = (a: Polynomial, b: Polynomial): Polynomial | undefined => {
  const divisor = orderedTerms(b)[0];
  if (!divisor) return undefined;
  const quotient: Term[] = [];
  let rest = a;
  for (let steps = 0; rest.size > 0; steps++) {
    const leading = orderedTerms(rest)[0];
    const term = leading && divideTerm(leading, divisor);
    if (!term || steps > 64) return undefined;
    quotient.push(term);
    rest = subtractPolynomials(rest, multiplyPolynomials(fromTerms([term]), b));
  }
  return fromTerms(quotient);
};

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? Math.abs(a) : greatestCommonDivisor(b, a % b);

const compose = (kind: Composite['kind'], a: Polynomial, b: Polynomial): Polynomial => {
  const operand = (p: Polynomial): string =>
    p.size > 1 ||
    [...p.values()].some((term) => term.atoms.length > 1 || (term.atoms.length === 1 && term.coefficient !== 1))
      ? `(${printPolynomial(p)})`
      : printPolynomial(p);
  const text =
    kind === 'floor' ? `floor(${operand(a)}/${operand(b)})` : `${kind}(${printPolynomial(a)},${printPolynomial(b)})`;
  composites.set(text, { kind, a, b });
  return atomPolynomial(text);
};

/** floor((floor(c/d) + k) / b) = floor((c + k*d) / (b*d)) for positive integers b and d. */
const unnest = (rest: Polynomial, divisor: number): Polynomial | undefined => {
  const atomTerm = [...rest.values()].find((term) => term.atoms.length > 0);
  const inner =
    atomTerm?.atoms.length === 1 && atomTerm.coefficient === 1 ? composites.get(atomTerm.atoms[0]!) : undefined;
  const innerDivisor = inner?.kind === 'floor' ? constantOfPolynomial(inner.b) : undefined;
  const others = rest.size - (rest.has('') ? 1 : 0);
  if (!inner || innerDivisor === undefined || innerDivisor <= 0 || others !== 1) return undefined;
  const shift = constantPolynomial((rest.get('')?.coefficient ?? 0) * innerDivisor);
  return floorQuotient(addPolynomials(inner.a, shift), constantPolynomial(divisor * innerDivisor));
};

/** floor(p / divisor) for a positive integer: whole parts of every coefficient are taken out of the floor. */
const floorByInteger = (p: Polynomial, divisor: number): Polynomial => {
  const whole: Term[] = [];
  const part: Term[] = [];
  for (const { coefficient, atoms } of p.values()) {
    const quotient = Math.floor(coefficient / divisor);
    whole.push({ coefficient: quotient, atoms });
    part.push({ coefficient: coefficient - quotient * divisor, atoms });
  }
  const quotient = fromTerms(whole);
  const rest = fromTerms(part);
  if (constantOfPolynomial(rest) !== undefined) return quotient;
  const common = [...rest.values()]
    .filter((term) => term.atoms.length > 0)
    .reduce((divider, term) => greatestCommonDivisor(divider, term.coefficient), divisor);
  const reduced = fromTerms(
    [...rest.values()].map((term) => ({ ...term, coefficient: Math.floor(term.coefficient / common) })),
  );
  if (divisor === common) return addPolynomials(quotient, reduced);
  const smaller = divisor / common;
  return addPolynomials(quotient, unnest(reduced, smaller) ?? compose('floor', reduced, constantPolynomial(smaller)));
};

/** floor(a / b), as far as it can be simplified. `b` must not be the constant 0. */
export const floorQuotient = (a: Polynomial, b: Polynomial): Polynomial => {
  const exact = divideExactly(a, b);
  if (exact) return exact;
  const divisor = constantOfPolynomial(b);
  if (divisor !== undefined)
    return divisor > 0 ? floorByInteger(a, divisor) : floorByInteger(scalePolynomial(a, -1), -divisor);
  return compose('floor', a, b);
};

/** The larger (smaller) of two polynomials, as one of them where that is decided by signs. */
export const extremePolynomial = (kind: 'max' | 'min', a: Polynomial, b: Polynomial): Polynomial => {
  const difference = subtractPolynomials(a, b);
  if (isNonNegative(difference)) return kind === 'max' ? a : b;
  if (isNonNegative(scalePolynomial(difference, -1))) return kind === 'max' ? b : a;
  return printPolynomial(a) < printPolynomial(b) ? compose(kind, a, b) : compose(kind, b, a);
};

/** The value of a polynomial when `symbol` gives those of its symbols; undefined when one is not given. */
export const evaluatePolynomial = (p: Polynomial, symbol: (name: string) => number | undefined): number | undefined => {
  let sum = 0;
  for (const { coefficient, atoms } of p.values()) {
    let product = coefficient;
    for (const atom of atoms) {
      const value = evaluateAtom(atom, symbol);
      if (value === undefined) return undefined;
      product *= value;
    }
    sum += product;
  }
  return sum;
};

const evaluateAtom = (atom: string, symbol: (name: string) => number | undefined): number | undefined => {
  const composite = composites.get(atom);
  if (!composite) return symbol(atom);
  const a = evaluatePolynomial(composite.a, symbol);
  const b = evaluatePolynomial(composite.b, symbol);
  if (a === undefined || b === undefined) return undefined;
  if (composite.kind === 'floor') return b === 0 ? undefined : Math.floor(a / b);
  return composite.kind === 'max' ? Math.max(a, b) : Math.min(a, b);
};
