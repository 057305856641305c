import type { z } from 'zod';
import { CompressError, CompressErrors, type ErrorFacts } from '../errors.ts';
import { knownKeysAt } from './known-keys.ts';
import type { KeyPath, RecipeSource } from './source.ts';
import { issueMessage, suggestion } from './words.ts';

type Issue = z.core.$ZodIssue;

/** A value that a schema was applied to, and where in the recipe it stands. */
export interface Checked {
  readonly schema: z.ZodType;
  readonly value: unknown;
  readonly base: KeyPath;
}

/** Gathers what is wrong with a recipe, so that everything can be said at once. */
export class Problems {
  readonly #source: RecipeSource;
  readonly #found: CompressError[] = [];

  constructor(source: RecipeSource) {
    this.#source = source;
  }

  get count(): number {
    return this.#found.length;
  }

  get errors(): readonly CompressError[] {
    return this.#found;
  }

  /** A problem with the value (or the key) at `path`. */
  add(
    path: KeyPath,
    facts: Omit<ErrorFacts, 'where' | 'code'> & Partial<Pick<ErrorFacts, 'code'>>,
    part?: 'key' | 'value',
  ): void {
    this.#found.push(new CompressError({ code: 'recipe', ...facts, where: this.#source.locate(path, part) }));
  }

  /** An error that something below the recipe threw about the value at `path`: its own place is kept as the cause. */
  addError(path: KeyPath, error: unknown): void {
    if (error instanceof CompressErrors) {
      for (const inner of error.errors) this.addError(path, inner);
      return;
    }
    if (!(error instanceof CompressError) || error.code === 'internal' || error.code === 'interrupted') throw error;
    const place = this.#source.locate(path);
    // The recipe's own file takes the place of the file that the error is about, which the words then name.
    const inside = error.where.file && place.file && error.where.file !== place.file ? `${error.where.file}: ` : '';
    this.#found.push(
      new CompressError({
        code: error.code,
        message: `${inside}${error.message}`,
        where: { ...error.where, ...place },
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: error,
      }),
    );
  }

  /** Every issue that zod found in `root.value`, worded, at its place. */
  addIssues(root: Checked, issues: readonly Issue[]): void {
    for (const issue of issues) this.#addIssue(root, issue, []);
  }

  /** @throws CompressErrors when anything was found, in the order of the recipe's lines. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    const line = (error: CompressError): number => error.where.line ?? Number.POSITIVE_INFINITY;
    const column = (error: CompressError): number => error.where.column ?? 0;
    const sorted = [...this.#found].sort((a, b) => line(a) - line(b) || column(a) - column(b) || 0);
    throw new CompressErrors(sorted);
  }

  /** `outer` is the path, inside the schema, of the union that the issue was found in. */
  #addIssue(root: Checked, issue: Issue, outer: KeyPath): void {
    const inside = [...outer, ...issue.path.filter((key) => typeof key !== 'symbol')];
    const path = [...root.base, ...inside];
    const found = valueAt(root.value, inside);
    if (issue.code === 'unrecognized_keys') {
      const written = isMap(found) ? Object.keys(found) : [];
      const known = knownKeysAt(root.schema, inside).filter((key) => !written.includes(key));
      for (const key of issue.keys) this.#addUnknownKey(path, key, known);
      return;
    }
    if (issue.code === 'invalid_union' && this.#addUnion(root, issue, inside, found)) return;
    if (found === undefined && inside.length > 0 && issue.code !== 'custom') {
      this.add(path, { message: `the key '${path.join('.')}' is missing` });
      return;
    }
    const hint =
      issue.code === 'invalid_value' && typeof found === 'string' ? nearHint(found, issue.values) : undefined;
    this.add(path, { message: issueMessage(issue, found), ...(hint ? { hint } : {}) });
  }

  #addUnknownKey(path: KeyPath, key: string, known: readonly string[]): void {
    const hint = suggestion(key, known);
    this.add([...path, key], { message: `unknown key '${key}'`, ...(hint ? { hint } : {}) }, 'key');
  }

  /** Says what is wrong inside the alternative that was meant; false when none of them fits at all. */
  #addUnion(root: Checked, issue: Extract<Issue, { code: 'invalid_union' }>, inside: KeyPath, found: unknown): boolean {
    const fitting = issue.errors.filter((branch) => branch.length > 0 && !branch.some(isWhole));
    if (fitting.length === 0) return false;
    const strangers = fitting.map((branch) => branch.flatMap((inner) => unknownRootKeys(inner)));
    const fewest = Math.min(...strangers.map((keys) => keys.length));
    const likely = fitting.filter((_, index) => strangers[index]?.length === fewest);
    if (fewest > 0 && likely.length > 1 && isMap(found)) {
      const path = [...root.base, ...inside];
      const known = knownKeysAt(root.schema, inside);
      const unknown = Object.keys(found).filter((key) => !known.includes(key));
      for (const key of unknown) this.#addUnknownKey(path, key, known);
      if (unknown.length === 0)
        this.add(path, { message: `the keys ${Object.keys(found).join(', ')} do not go together` });
      return true;
    }
    const best = [...likely].sort((a, b) => a.length - b.length)[0] ?? [];
    for (const inner of best) this.#addIssue(root, inner, inside);
    return true;
  }
}

/** The value at a path, or undefined where the path leaves the recipe. */
export const valueAt = (value: unknown, path: KeyPath): unknown =>
  path.reduce<unknown>((inner, key) => {
    if (Array.isArray(inner)) return inner[Number(key)];
    return isMap(inner) && Object.hasOwn(inner, String(key)) ? inner[String(key)] : undefined;
  }, value);

export const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** True for an issue that says that a value is of another kind altogether. */
const isWhole = (issue: Issue): boolean =>
  issue.path.length === 0 && ['invalid_type', 'invalid_value', 'invalid_union', 'invalid_format'].includes(issue.code);

const unknownRootKeys = (issue: Issue): string[] =>
  issue.code === 'unrecognized_keys' && issue.path.length === 0 ? [...issue.keys] : [];

const nearHint = (found: string, values: readonly unknown[]): string | undefined => {
  const words = values.filter((value) => typeof value === 'string');
  const hint = suggestion(found, words);
  return hint?.startsWith('Did') ? hint : undefined;
};
