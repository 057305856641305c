import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** What is known of where a model comes from. */
export interface ModelOrigin {
  /** `owner/name` on the Hugging Face hub. */
  readonly repository?: string;
  /** As the hub names it: `apache-2.0`. */
  readonly license?: string;
  readonly languages: readonly string[];
}

const frontMatter = /^---\r?\n(.*?)\r?\n---(\r?\n|$)/s;

/** The metadata at the head of a model card; empty where there is none that can be read. */
const metadataOf = (card: string): Record<string, unknown> => {
  const [, text = ''] = frontMatter.exec(card) ?? [];
  try {
    const value: unknown = parse(text, { logLevel: 'silent' });
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
};

/** Names of the hub have two parts; paths of folders are not among them. */
const repositoryName = /^[A-Za-z0-9][\w.-]*\/[\w.-]+$/;

const textsOf = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value]).filter((item): item is string => typeof item === 'string');

/** Licences whose text begins like this, by the names of the hub. */
const licences: readonly (readonly [RegExp, string])[] = [
  [/Apache License\s+Version 2\.0/, 'apache-2.0'],
  [/MIT License|Permission is hereby granted, free of charge/, 'mit'],
  [/GNU GENERAL PUBLIC LICENSE\s+Version 3/, 'gpl-3.0'],
  [/Redistribution and use in source and binary forms/, 'bsd-3-clause'],
];

const licenceOfFile = (folder: string): string | undefined => {
  const path = ['LICENSE', 'LICENSE.txt', 'LICENSE.md']
    .map((name) => join(folder, name))
    .find((file) => existsSync(file));
  const text = path === undefined ? '' : readFileSync(path, 'utf8').slice(0, 4000);
  return licences.find(([pattern]) => pattern.test(text))?.[1];
};

/**
 * Where a model comes from, by what lies beside it: the metadata of its card, the licence, the name that its
 * configuration was saved under.
 */
export const originOf = (folder: string, config: Readonly<Record<string, unknown>> | undefined): ModelOrigin => {
  const path = join(folder, 'README.md');
  const metadata = existsSync(path) ? metadataOf(readFileSync(path, 'utf8')) : {};
  const saved = textsOf(config?._name_or_path).find((name) => repositoryName.test(name));
  const license = textsOf(metadata.license)[0] ?? licenceOfFile(folder);
  return {
    ...(saved === undefined ? {} : { repository: saved }),
    ...(license === undefined ? {} : { license }),
    languages: textsOf(metadata.language),
  };
};
