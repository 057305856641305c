import { readFileSync, statSync } from 'node:fs';
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  type Pair,
  parseDocument,
  type Node as YamlNode,
} from 'yaml';
import { CompressError, CompressErrors, type Where } from '../errors.ts';

/** Keys and list positions from the root of a recipe. */
export type KeyPath = readonly (string | number)[];

/** A recipe as written: its text, its plain value, and where every key and value stands or came from. */
export interface RecipeSource {
  /** Path of the file; undefined for a recipe that was built from flags or by a program. */
  readonly file: string | undefined;
  readonly text: string;
  readonly value: unknown;
  /** Where a value stands; `part: 'key'` for the key that names it. Falls back to the nearest enclosing value. */
  locate(path: KeyPath, part?: 'key' | 'value'): Where;
}

/** A recipe is a page of text; larger files are something else. */
const largestRecipeBytes = 1 << 20;
/** Times that aliases may repeat anchored text before it counts as an attempt to exhaust the machine. */
const mostAliases = 100;

/** @throws CompressError when the file is missing, too large, or not YAML (every syntax error together). */
export const readRecipe = (file: string): RecipeSource => {
  const facts = statSync(file, { throwIfNoEntry: false });
  if (!facts)
    throw new CompressError({
      code: 'not-found',
      message: 'there is no such recipe file',
      where: { file },
      hint: 'Give the path of a YAML recipe; `compress init` writes one to start from.',
    });
  if (!facts.isFile())
    throw new CompressError({ code: 'usage', message: 'a recipe is a file, and this is not one', where: { file } });
  if (facts.size > largestRecipeBytes)
    throw new CompressError({
      code: 'unsafe',
      message: `the file has ${facts.size} bytes; a recipe has at most ${largestRecipeBytes}`,
      where: { file },
      hint: 'Is this a model file? `compress quantize MODEL` takes models.',
    });
  return parseRecipe(readFileSync(file, 'utf8'), file);
};

/** Parses YAML (JSON is YAML too) and keeps the positions. */
export const parseRecipe = (text: string, file: string | undefined): RecipeSource => {
  const lines = new LineCounter();
  const document = compose(text, lines, file);
  const place = (offset: number): Where => {
    const { line, col } = lines.linePos(offset);
    return { ...(file === undefined ? {} : { file }), line, column: col };
  };
  if (document.errors.length > 0)
    throw new CompressErrors(
      document.errors.map(
        (error) =>
          new CompressError({
            code: 'recipe',
            message: `not valid YAML: ${firstLine(error.message)}`,
            where: place(error.pos[0]),
          }),
      ),
    );
  return {
    file,
    text,
    value: plainValue(document, file),
    locate: (path, part = 'value') => {
      const offset = offsetOf(document, path, part);
      return { ...place(offset), ...(path.length > 0 ? { key: path.join('.') } : {}) };
    },
  };
};

/** A recipe built by a program; `flags` names the command-line flag that gave the value at a dotted path. */
export const builtRecipe = (value: unknown, flags: ReadonlyMap<string, string> = new Map()): RecipeSource => ({
  file: undefined,
  text: `${JSON.stringify(value, null, 2)}\n`,
  value,
  locate: (path) => flagAt(flags, path) ?? (path.length > 0 ? { key: path.join('.') } : {}),
});

/** The flag whose value stands at `path` or around it. */
export const flagAt = (flags: ReadonlyMap<string, string>, path: KeyPath): Where | undefined => {
  for (let length = path.length; length > 0; length--) {
    const flag = flags.get(path.slice(0, length).join('.'));
    if (flag) return { flag };
  }
  return undefined;
};

const compose = (text: string, lines: LineCounter, file: string | undefined): Document.Parsed => {
  try {
    return parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw tooDeep(file, cause);
  }
};

const plainValue = (document: Document.Parsed, file: string | undefined): unknown => {
  try {
    return document.toJS({ maxAliasCount: mostAliases });
  } catch (cause) {
    if (cause instanceof RangeError) throw tooDeep(file, cause);
    if (!(cause instanceof ReferenceError)) throw cause;
    throw new CompressError({
      code: 'unsafe',
      message: `aliases repeat more than ${mostAliases} anchored values, or name an anchor that does not exist`,
      ...(file === undefined ? {} : { where: { file } }),
      hint: 'Write the values out; a recipe that unfolds into very many values is refused.',
      cause,
    });
  }
};

const tooDeep = (file: string | undefined, cause: unknown): CompressError =>
  new CompressError({
    code: 'unsafe',
    message: 'the recipe is nested too deeply to be read',
    ...(file === undefined ? {} : { where: { file } }),
    cause,
  });

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';

const startOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

const child = (document: Document, node: YamlNode, key: string | number): Pair | YamlNode | undefined => {
  const container = isAlias(node) ? node.resolve(document) : node;
  if (isMap(container))
    return container.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key));
  if (!isCollection(container)) return undefined;
  const found = container.items[Number(key)];
  return isNode(found) ? found : undefined;
};

/** Character offset of the value at a path, of its key, or of the nearest enclosing value that exists. */
const offsetOf = (document: Document.Parsed, path: KeyPath, part: 'key' | 'value'): number => {
  let node: YamlNode | null = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, key] of path.entries()) {
    const found = node ? child(document, node, key) : undefined;
    if (!found) return offset;
    const pair = isNode(found) ? undefined : found;
    const value = pair ? pair.value : found;
    const last = index === path.length - 1;
    const wanted = (last && part === 'key') || !isNode(value) ? (pair?.key ?? value) : value;
    offset = startOf(wanted) ?? offset;
    if (!isNode(value)) return offset;
    node = value;
  }
  return offset;
};
