import {
  addPolynomials,
  atomPolynomial,
  constantOfPolynomial,
  constantPolynomial,
  extremePolynomial,
  floorQuotient,
  multiplyPolynomials,
  type Polynomial,
  subtractPolynomials,
} from './polynomial.ts';

/**
 * Parses the text of a dimension:
 *   sum     := ['-'] product (('+' | '-') product)*
 *   product := factor (('*' | '//') factor)*              '//' is floor division; so is '/' inside 'floor('
 *   factor  := integer | symbol | '(' sum ')' | 'floor(' sum ')' | ('max' | 'min') '(' sum ',' sum ')'
 *   symbol  := [A-Za-z_] [A-Za-z0-9_.:]* | "'" any but a quote "'"
 * Undefined for a text that is none of this: file formats allow any text as the name of a dimension, and exporters
 * write paths (`Unsqueeze/decoder/3_dim_1`), so a '/' elsewhere is no division. Undefined also for texts of absurd length.
 */
export const parseDimensionText = (text: string): Polynomial | undefined => {
  if (text.length > longestText) return undefined;
  const tokens = text.match(/'[^']*'|[A-Za-z_][A-Za-z0-9_.:]*|\d+|\/\/|[-+*/(),]|\S/g) ?? [];
  const parser = new Parser(tokens);
  const polynomial = parser.sum();
  return parser.finished ? polynomial : undefined;
};

const longestText = 1000;
const mostTerms = 256;

class Parser {
  readonly #tokens: readonly string[];
  #next = 0;
  #failed = false;
  #insideFloor = false;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  get finished(): boolean {
    return !this.#failed && this.#next === this.#tokens.length;
  }

  #take(...wanted: readonly string[]): string | undefined {
    const token = this.#tokens[this.#next];
    if (token === undefined || !wanted.includes(token)) return undefined;
    this.#next++;
    return token;
  }

  #fail(): Polynomial {
    this.#failed = true;
    return constantPolynomial(0);
  }

  sum(): Polynomial {
    const negative = this.#take('-') !== undefined;
    const first = this.#product();
    let total = negative ? subtractPolynomials(constantPolynomial(0), first) : first;
    for (let sign = this.#take('+', '-'); sign && !this.#failed; sign = this.#take('+', '-')) {
      const next = this.#product();
      total = sign === '+' ? addPolynomials(total, next) : subtractPolynomials(total, next);
    }
    return total;
  }

  #product(): Polynomial {
    let product = this.#factor();
    const signs = this.#insideFloor ? ['*', '//', '/'] : ['*', '//'];
    for (let sign = this.#take(...signs); sign && !this.#failed; sign = this.#take(...signs)) {
      const next = this.#factor();
      if (product.size * next.size > mostTerms) return this.#fail();
      if (sign === '*') product = multiplyPolynomials(product, next);
      else if (constantOfPolynomial(next) === 0) return this.#fail();
      else product = floorQuotient(product, next);
    }
    return product;
  }

  #group(): Polynomial {
    const inner = this.sum();
    return this.#take(')') ? inner : this.#fail();
  }

  #floor(): Polynomial {
    const outer = this.#insideFloor;
    this.#insideFloor = true;
    const inner = this.#group();
    this.#insideFloor = outer;
    return inner;
  }

  #factor(): Polynomial {
    if (this.#failed) return constantPolynomial(0);
    if (this.#take('(')) return this.#group();
    const token = this.#tokens[this.#next++];
    if (token === undefined) return this.#fail();
    if (/^\d/.test(token))
      return Number.isSafeInteger(Number(token)) ? constantPolynomial(Number(token)) : this.#fail();
    if (token === 'floor' && this.#take('(')) return this.#floor();
    if ((token === 'max' || token === 'min') && this.#take('(')) {
      const a = this.sum();
      if (!this.#take(',')) return this.#fail();
      const b = this.sum();
      return this.#take(')') ? extremePolynomial(token, a, b) : this.#fail();
    }
    return /^['A-Za-z_]/.test(token) && token !== "'" ? atomPolynomial(token) : this.#fail();
  }
}
