import { readFileSync, statSync } from 'node:fs';
import { CompressError } from '../errors.ts';
import type { JsonObject } from '../families/family.ts';
import { findJsonError, positionOf } from './json-position.ts';

/** Configuration files are small; whatever is larger is not one. */
const largestFile = 256 * 1024 * 1024;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const parse = (source: string, path: string): unknown => {
  try {
    return JSON.parse(source);
  } catch (cause) {
    const problem = findJsonError(source) ?? source.length;
    const found =
      problem >= source.length ? 'the text ends too early' : `unexpected ${JSON.stringify(source[problem])}`;
    throw new CompressError({
      code: 'malformed',
      message: `not well-formed JSON: ${found}`,
      where: { file: path, ...positionOf(source, problem) },
      cause,
    });
  }
};

/**
 * A file that holds one JSON object. A byte-order mark is accepted.
 * @throws not-found; malformed with line and column; unsafe for files beyond 256 MiB.
 */
export const readJsonObject = (path: string): JsonObject => {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (!facts?.isFile())
    throw new CompressError({ code: 'not-found', message: 'there is no such file', where: { file: path } });
  if (facts.size > largestFile)
    throw new CompressError({
      code: 'unsafe',
      message: `a JSON file of ${facts.size} bytes is more than is ever needed here`,
      where: { file: path },
    });
  let source: string;
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (cause) {
    throw new CompressError({ code: 'malformed', message: 'the file is not UTF-8 text', where: { file: path }, cause });
  }
  const value = parse(source, path);
  if (isObject(value)) return value;
  throw new CompressError({
    code: 'malformed',
    message: 'a JSON object is needed here',
    where: { file: path, line: 1, column: 1 },
  });
};
