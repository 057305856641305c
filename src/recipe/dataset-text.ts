import { extname } from 'node:path';
import { parse } from 'yaml';
import { CompressError } from '../errors.ts';

/** Kinds of data that a file name ending gives away when a dataset text names no kind. */
const kindByEnding: Readonly<Record<string, string>> = {
  '.txt': 'text',
  '.jsonl': 'text',
  '.md': 'text',
  '.u16': 'tokens',
  '.u32': 'tokens',
  '.npz': 'arrays',
  '.npy': 'arrays',
  '.wav': 'audio',
};

/**
 * Reads `kind:path,key=value,…` into the map form of a recipe: `{kind: path, key: value}`. Values are YAML, dotted
 * keys nest, commas inside brackets and `\,` belong to a value; the kind may be left out where the ending tells it.
 * @throws recipe error that lists the kinds.
 */
export const parseDatasetText = (text: string, kinds: readonly string[]): Record<string, unknown> => {
  const colon = text.indexOf(':');
  const named = colon < 0 ? text : text.slice(0, colon);
  const kind = kinds.includes(named) ? named : kindByEnding[extname(splitOutside(text)[0] ?? '').toLowerCase()];
  if (!kind || !kinds.includes(kind))
    throw new CompressError({
      code: 'recipe',
      message: `cannot tell what kind of data ${JSON.stringify(text)} is`,
      hint: `Write kind:path,key=value,… with one of the kinds ${kinds.join(', ')}.`,
    });
  const rest = kinds.includes(named) ? (colon < 0 ? '' : text.slice(colon + 1)) : text;
  const parts = splitOutside(rest).filter((part) => part !== '');
  const first = parts[0];
  const path = first !== undefined && !isOption(first) ? first : undefined;
  const spec: Record<string, unknown> = { [kind]: path ?? null };
  for (const part of path === undefined ? parts : parts.slice(1)) put(spec, part, text);
  return spec;
};

const isOption = (part: string): boolean => /^[a-z_][a-z0-9_.]*=/i.test(part);

/** Splits at commas that stand neither in brackets nor behind a backslash. */
const splitOutside = (text: string): string[] => {
  const parts = [''];
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    const escaped = character === '\\' && text.charAt(index + 1) === ',';
    if ('[{'.includes(character)) depth++;
    if (']}'.includes(character)) depth--;
    if (character === ',' && depth <= 0) parts.push('');
    else parts[parts.length - 1] += escaped ? text.charAt(++index) : character;
  }
  return parts;
};

const put = (spec: Record<string, unknown>, part: string, text: string): void => {
  const split = part.indexOf('=');
  const keys = part.slice(0, split).split('.');
  if (split <= 0 || keys.includes('') || keys.some((key) => key === '__proto__'))
    throw new CompressError({
      code: 'recipe',
      message: `cannot read ${JSON.stringify(part)} in ${JSON.stringify(text)} as key=value`,
      hint: 'A comma inside a path is written as \\,',
    });
  let container = spec;
  for (const key of keys.slice(0, -1)) {
    const inner = container[key];
    const next = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {};
    container[key] = next;
    container = next;
  }
  container[keys.at(-1) ?? ''] = optionValue(part.slice(split + 1));
};

/** Numbers, true, false and bracketed lists are read as YAML; anything else is the text as it stands. */
const optionValue = (written: string): unknown => {
  if (!/^(-?[\d.]|true$|false$|\[|\{)/.test(written)) return written;
  try {
    return parse(written, { maxAliasCount: 0, logLevel: 'error' });
  } catch {
    return written;
  }
};
