import { parse, stringify } from 'yaml';
import { CompressError } from '../errors.ts';
import { isMap } from './problems.ts';
import { flagAt, type KeyPath, type RecipeSource } from './source.ts';
import { describeValue } from './words.ts';

/** One value that a flag puts into a recipe. */
export interface Override {
  readonly path: KeyPath;
  readonly value: unknown;
  /** How the flag is named to the person who typed it. */
  readonly flag: string;
}

/** Reads `stages.0.quantize.weights.bits=3`; the value is read as YAML. @throws usage error. */
export const parseSet = (text: string): Override => {
  const split = text.indexOf('=');
  const key = split < 0 ? '' : text.slice(0, split).trim();
  const parts = key.split('.');
  if (key === '' || parts.includes('') || parts.includes('__proto__'))
    throw new CompressError({
      code: 'usage',
      message: `cannot read ${JSON.stringify(text)} as key=value`,
      where: { flag: '--set' },
      hint: 'Write a dotted key of the recipe: --set stages.0.quantize.weights.bits=3',
    });
  const written = text.slice(split + 1);
  return {
    path: parts.map((part) => (/^\d+$/.test(part) ? Number(part) : part)),
    value: parseValue(written, key),
    flag: `--set ${key}`,
  };
};

const parseValue = (written: string, key: string): unknown => {
  try {
    return parse(written, { maxAliasCount: 0, logLevel: 'error' });
  } catch (cause) {
    throw new CompressError({
      code: 'usage',
      message: `the value ${JSON.stringify(written)} is not valid YAML`,
      where: { flag: `--set ${key}` },
      hint: 'Quote it for the shell and for YAML: --set \'output="a: b"\'',
      cause,
    });
  }
};

/** A recipe with some values replaced. Positions of replaced values name the flag that gave them. */
export const withOverrides = (source: RecipeSource, overrides: readonly Override[]): RecipeSource => {
  if (overrides.length === 0) return source;
  const value: unknown = structuredClone(source.value ?? {});
  const flags = new Map<string, string>();
  for (const override of overrides) {
    place(value, override);
    flags.set(override.path.join('.'), override.flag);
  }
  return {
    file: source.file,
    text: stringify(value),
    value,
    locate: (path, part) => flagAt(flags, path) ?? source.locate(path, part),
  };
};

const place = (root: unknown, { path, value, flag }: Override): void => {
  let container = root;
  path.forEach((key, index) => {
    const last = index === path.length - 1;
    const before = path.slice(0, index).join('.');
    const next = last ? value : (member(container, key) ?? (typeof path[index + 1] === 'number' ? [] : {}));
    if (Array.isArray(container)) {
      if (typeof key !== 'number' || key > container.length)
        throw cannotPlace(flag, `'${before}' is a list of ${container.length}, which has no entry '${key}'`);
      container[key] = next;
    } else if (isMap(container)) container[String(key)] = next;
    else throw cannotPlace(flag, `'${before}' is ${describeValue(container)}, which has no key '${key}'`);
    container = next;
  });
};

const member = (container: unknown, key: string | number): unknown => {
  if (Array.isArray(container)) return container[Number(key)];
  return isMap(container) && Object.hasOwn(container, String(key)) ? container[String(key)] : undefined;
};

const cannotPlace = (flag: string, message: string): CompressError =>
  new CompressError({ code: 'usage', message, where: { flag } });
