import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseExample, wordsOf } from '../cli/parse-example.ts';
import { freshFolder } from '../recipe/tiny-run.ts';

const root = resolve(import.meta.dirname, '../..');
const pages = [
  ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'].map((file) => join(root, file)),
  ...readdirSync(join(root, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => join(root, 'docs', file)),
];
const named = pages.map((page): [string, string] => [relative(root, page), page]);

/** Fenced blocks of a language. */
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((match) => match[1] ?? '');

const prose = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '');

/** Anchors of a page's headings, as renderers of Markdown make them. */
const anchorsOf = (text: string): Set<string> =>
  new Set(
    [...text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)].map((match) =>
      (match[1] ?? '')
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(/\s/g, '-'),
    ),
  );

describe('the documentation', () => {
  test.each(named)('%s links to what there is', (_, page) => {
    const text = readFileSync(page, 'utf8');
    for (const [, link = ''] of prose(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : resolve(dirname(page), path);
      if (relative(join(root, 'docs', 'reference'), target).startsWith('..')) {
        expect(existsSync(target), `${link} in ${page}`).toBe(true);
        if (anchor !== undefined && target.endsWith('.md'))
          expect(anchorsOf(readFileSync(target, 'utf8')), `${link} in ${page}`).toContain(anchor);
      }
    }
  });

  test.each(named)('%s shows command lines that there are', async (_, page) => {
    const lines = blocks(readFileSync(page, 'utf8'), 'sh')
      .join('\n')
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .filter((line) => /^compress [a-z]/.test(line) && !line.includes(' | ') && !/[A-Z]{4,}/.test(line));
    for (const line of lines) await parseExample(line);
  });

  test('has a section for every error code', () => {
    const [, union = ''] = /ErrorCode =([\s\S]*?);/.exec(readFileSync(join(root, 'src/errors.ts'), 'utf8')) ?? [];
    const codes = [...union.matchAll(/'([a-z-]+)'/g)].map((match) => match[1]);
    expect(codes.length).toBeGreaterThan(10);
    const anchors = anchorsOf(readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8'));
    for (const code of codes) expect(anchors).toContain(code);
  });
});

describe('the tutorial', () => {
  const main = join(root, 'dist', 'cli', 'main.js');
  const ready = existsSync(main) && existsSync(join(root, 'fixtures/made/tiny-llama'));
  const lines = blocks(readFileSync(join(root, 'docs/tutorial.md'), 'utf8'), 'sh')
    .join('\n')
    .split('\n')
    .filter((line) => line.startsWith('compress '));

  test.skipIf(!ready)('runs from its first line to its last', { timeout: 300_000 }, () => {
    const folder = freshFolder();
    symlinkSync(join(root, 'fixtures'), join(folder, 'fixtures'), 'junction');
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines) {
      const [, ...args] = wordsOf(line);
      const { status, stderr } = spawnSync(process.execPath, [main, ...args], {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, CI: 'true', COMPRESS_CACHE: join(folder, 'cache') },
      });
      expect(status, `${line}\n${stderr}`).toBe(0);
    }
    for (const output of ['out/tiny-w4', 'out/small'])
      for (const file of ['manifest.json', 'report.html', 'README.md'])
        expect(existsSync(join(folder, output, file)), `${output}/${file}`).toBe(true);
  });
});

describe('the examples of the library', () => {
  const folder = mkdtempSync(join(root, 'out-docs-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const examples = blocks(readFileSync(join(root, 'docs/library.md'), 'utf8'), 'ts').map(
    (source, index): [string, string] => {
      const file = join(folder, `example-${index}.ts`);
      writeFileSync(file, source.replaceAll("'out/library/", `'${relative(root, folder)}/`));
      return [relative(root, file), file];
    },
  );
  const tsconfig = join(folder, 'tsconfig.json');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    tsconfig,
    JSON.stringify({
      extends: '../tsconfig.check.json',
      compilerOptions: { rootDir: '..', paths: { modelpress: ['../src/index.ts'] } },
      include: ['*.ts'],
    }),
  );

  test('are typed', () => {
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '--noEmit', '-p', tsconfig], {
      encoding: 'utf8',
    });
    expect([status, stdout]).toEqual([0, '']);
  });

  test.skipIf(!existsSync(join(root, 'fixtures/made/tiny-cnn'))).each(examples)('run: %s', (_, file) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, 'node_modules/tsx/dist/cli.mjs'), '--tsconfig', tsconfig, file],
      { cwd: root, encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).not.toBe('');
  });
});
