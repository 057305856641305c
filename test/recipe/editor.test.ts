import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { recipeJsonSchema } from '../../src/recipe/json-schema.ts';

const root = resolve(import.meta.dirname, '../..');
const recipes = readdirSync(join(root, 'recipes')).filter((file) => file.endsWith('.yaml'));

interface Document {
  readonly uri: string;
}

interface Service {
  configure(settings: object): void;
  doValidation(
    document: Document,
    isKubernetes: boolean,
  ): Promise<{ readonly message: string; readonly range: { readonly start: { readonly line: number } } }[]>;
  doComplete(
    document: Document,
    position: object,
    isKubernetes: boolean,
  ): Promise<{ readonly items: { readonly label: string }[] }>;
  doHover(document: Document, position: object): Promise<{ readonly contents: { readonly value?: string } } | null>;
}

/** The language server that editors run, without an editor around it. */
const openService = (): { service: Service; document: (text: string) => Document } => {
  const require = createRequire(import.meta.url);
  const { getLanguageService } = require('yaml-language-server') as {
    getLanguageService: (parameters: object) => Service;
  };
  const { TextDocument } = createRequire(require.resolve('yaml-language-server'))(
    'vscode-languageserver-textdocument',
  ) as {
    TextDocument: { create(uri: string, language: string, version: number, text: string): Document };
  };
  const schema = JSON.parse(JSON.stringify(recipeJsonSchema())) as object;
  const service = getLanguageService({
    schemaRequestService: async () => JSON.stringify(schema),
    workspaceContext: { resolveRelativePath: (path: string) => path },
    telemetry: { send: () => {}, sendError: () => {}, sendTrack: () => {} },
    yamlSettings: {},
  });
  service.configure({
    validate: true,
    hover: true,
    completion: true,
    schemas: [{ uri: 'file:///recipe.schema.json', fileMatch: ['*.yaml'], schema }],
  });
  let documents = 0;
  return { service, document: (text) => TextDocument.create(`file:///${documents++}.yaml`, 'yaml', 1, text) };
};

describe('recipes in an editor', () => {
  const { service, document } = openService();

  test.each(recipes)('%s names its schema and follows it', async (file) => {
    const path = join(root, 'recipes', file);
    const text = readFileSync(path, 'utf8');
    const [, schema = ''] = /^# yaml-language-server: \$schema=(\S+)/.exec(text) ?? [];
    expect(resolve(dirname(path), schema)).toBe(join(root, 'schemas', 'recipe.schema.json'));
    const withoutModeline = text.replace(/^.*\n/, '\n');
    const problems = await service.doValidation(document(withoutModeline), false);
    expect(problems.map(({ message, range }) => `line ${range.start.line + 1}: ${message}`)).toEqual([]);
  });

  test('complain of a key that there is not', async () => {
    const problems = await service.doValidation(document('model: x\noutput: y\nstagse: []\n'), false);
    expect(problems.map(({ range }) => range.start.line)).toEqual([2]);
  });

  test('complete keys and stages', async () => {
    const labels = async (text: string): Promise<string[]> => {
      const lines = text.split('\n');
      const position = { line: lines.length - 1, character: lines.at(-1)!.length };
      const { items } = await service.doComplete(document(text), position, false);
      return items.map(({ label }) => label);
    };
    expect(await labels('model: x\noutput: y\n')).toEqual(expect.arrayContaining(['stages', 'write', 'gates']));
    expect(await labels('stages:\n  - quantize:\n      ')).toEqual(expect.arrayContaining(['method', 'weights']));
  });

  test('explain a key', async () => {
    const text = 'model: x\noutput: y\nmax_memory: 2GiB\n';
    const hover = await service.doHover(document(text), { line: 2, character: 3 });
    expect(JSON.stringify(hover?.contents)).toContain('Memory for activations');
  });

  test.skipIf(!existsSync(join(root, 'schemas')))('follow the schema that the build has made', () => {
    const made = JSON.parse(readFileSync(join(root, 'schemas', 'recipe.schema.json'), 'utf8'));
    expect(made).toEqual(JSON.parse(JSON.stringify(recipeJsonSchema())));
  });
});
