import { CompressError } from '../../errors.ts';

/** Characters that a name may have without quotes: `/model/layers.0/Add_output_0`, `onnx::MatMul_12`, `7`. */
const bareName = /(?:[A-Za-z0-9_/.%$]|::)(?:[A-Za-z0-9_/.%$-]|::)*/y;
const wholeBareName = /^(?:[A-Za-z0-9_/.%$]|::)(?:[A-Za-z0-9_/.%$-]|::)*$/;
const number = /[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|inf|nan)/y;
const blank = /(?:\s|#[^\n]*)*/y;

/** Reads a text from left to right; every complaint carries line and column. */
export class Cursor {
  readonly text: string;
  readonly #file: string | undefined;
  #at = 0;

  constructor(text: string, file?: string) {
    this.text = text;
    this.#file = file;
  }

  get position(): number {
    return this.#at;
  }

  /** Goes back to a position read before. */
  rewind(position: number): void {
    this.#at = position;
  }

  /** An error at a position (default: here). */
  error(message: string, position = this.#at): CompressError {
    const before = this.text.slice(0, position);
    const line = before.split('\n').length;
    const column = position - before.lastIndexOf('\n');
    return new CompressError({
      code: 'malformed',
      message,
      where: { ...(this.#file === undefined ? {} : { file: this.#file }), line, column },
    });
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0];
    if (!found) return undefined;
    this.#at += found.length;
    return found;
  }

  skipBlank(): void {
    this.#match(blank);
  }

  get finished(): boolean {
    this.skipBlank();
    return this.#at >= this.text.length;
  }

  /** What stands here, for messages. */
  found(): string {
    this.skipBlank();
    if (this.#at >= this.text.length) return 'the end of the text';
    return JSON.stringify(/^\S{1,20}/.exec(this.text.slice(this.#at, this.#at + 20))?.[0] ?? '');
  }

  /** Takes a punctuation mark if it stands here. */
  take(mark: string): boolean {
    this.skipBlank();
    if (!this.text.startsWith(mark, this.#at)) return false;
    this.#at += mark.length;
    return true;
  }

  expect(mark: string): void {
    if (!this.take(mark)) throw this.error(`expected ${JSON.stringify(mark)}, found ${this.found()}`);
  }

  peek(mark: string): boolean {
    this.skipBlank();
    return this.text.startsWith(mark, this.#at);
  }

  /** Takes a whole word if it stands here. */
  takeWord(word: string): boolean {
    this.skipBlank();
    const start = this.#at;
    if (this.#match(bareName) === word) return true;
    this.#at = start;
    return false;
  }

  expectWord(word: string): void {
    if (!this.takeWord(word)) throw this.error(`expected ${JSON.stringify(word)}, found ${this.found()}`);
  }

  /** A bare or quoted name. */
  name(what: string): string {
    this.skipBlank();
    if (this.text[this.#at] === '"') return this.string();
    const found = this.#match(bareName);
    if (found === undefined) throw this.error(`expected ${what}, found ${this.found()}`);
    return found;
  }

  /** A number's text, or undefined when none stands here. */
  takeNumber(): string | undefined {
    this.skipBlank();
    return this.#match(number);
  }

  integer(what: string): number {
    const start = this.#at;
    const text = this.takeNumber();
    const value = Number(text);
    if (text === undefined || !Number.isSafeInteger(value))
      throw this.error(`expected ${what} (an integer), found ${text ?? this.found()}`, start);
    return value;
  }

  /** A string in double quotes with JSON escapes. */
  string(): string {
    this.skipBlank();
    const start = this.#at;
    const found = this.#match(/"(?:[^"\\\n]|\\.)*"/y);
    if (found === undefined) throw this.error(`expected a string in double quotes, found ${this.found()}`);
    try {
      return JSON.parse(found) as string;
    } catch (cause) {
      throw new CompressError({
        code: 'malformed',
        message: `the string ${found} has a bad escape`,
        where: this.error('', start).where,
        cause,
      });
    }
  }

  /** Raw text up to one of the marks outside parentheses and single quotes (the text of a dimension). */
  rawUntil(marks: string): string {
    this.skipBlank();
    const start = this.#at;
    let depth = 0;
    let quoted = false;
    for (; this.#at < this.text.length; this.#at++) {
      const character = this.text[this.#at]!;
      if (character === '\n') break;
      if (character === "'") quoted = !quoted;
      if (quoted) continue;
      if (depth === 0 && marks.includes(character)) return this.text.slice(start, this.#at).trim();
      if (character === '(') depth++;
      if (character === ')') depth--;
    }
    throw this.error(
      `expected one of ${JSON.stringify(marks)} after ${JSON.stringify(this.text.slice(start, this.#at))}`,
      start,
    );
  }

  /** `item, item, …` up to and including the closing mark, which may follow at once. */
  list(close: string, item: () => void): void {
    if (this.take(close)) return;
    do item();
    while (this.take(','));
    this.expect(close);
  }
}

/** A name as the text writes it: bare where possible, else quoted. */
export const printName = (name: string): string =>
  wholeBareName.test(name) && name !== '_' ? name : JSON.stringify(name);
