/** Tokens of JSON, matched where the reader stands. */
const space = /[ \t\r\n]*/y;
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const escapeSequence = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

const quote = 0x22;
const backslash = 0x5c;
const firstPrintable = 0x20;

/**
 * Offset of the first character that keeps `source` from being JSON; its length when something is missing at the end.
 * Undefined for well-formed JSON. Nesting costs no stack.
 */
export const findJsonError = (source: string): number | undefined => {
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    if (found) at += found[0].length;
    return found !== null;
  };
  const skip = (): void => {
    take(space);
  };
  const takeCharacter = (character: string): boolean => {
    if (source[at] !== character) return false;
    at++;
    return true;
  };
  const takeText = (): boolean => {
    if (!takeCharacter('"')) return false;
    for (;;) {
      const code = source.charCodeAt(at);
      if (code === backslash) {
        if (!take(escapeSequence)) return false;
      } else if (code === quote) {
        at++;
        return true;
      } else if (code >= firstPrintable) at++;
      else return false;
    }
  };
  const key = (): boolean => {
    skip();
    if (!takeText()) return false;
    skip();
    return takeCharacter(':');
  };
  const open: ('{' | '[')[] = [];
  skip();
  for (;;) {
    skip();
    if (takeCharacter('{')) {
      skip();
      if (!takeCharacter('}')) {
        open.push('{');
        if (!key()) return at;
        continue;
      }
    } else if (takeCharacter('[')) {
      skip();
      if (!takeCharacter(']')) {
        open.push('[');
        continue;
      }
    } else if (source[at] === '"') {
      if (!takeText()) return at;
    } else if (!take(scalar)) return at;
    for (;;) {
      skip();
      const inside = open.at(-1);
      if (inside === undefined) return at === source.length ? undefined : at;
      if (takeCharacter(',')) {
        if (inside === '{' && !key()) return at;
        break;
      }
      if (!takeCharacter(inside === '{' ? '}' : ']')) return at;
      open.pop();
    }
  }
};

/** Line and column of an offset, both from 1. */
export const positionOf = (source: string, offset: number): { readonly line: number; readonly column: number } => {
  const before = source.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
};
