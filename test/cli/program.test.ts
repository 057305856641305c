import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands/index.ts';
import { freshFolder } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

const folder = freshFolder();

describe('the command line', () => {
  test('without arguments shows its help', async () => {
    const { exitCode, out } = await capture([]);
    expect(exitCode).toBe(0);
    for (const { name } of commands) expect(out).toContain(`\n  ${name} `);
  });

  test.each(commands.map((card) => card.name))('%s --help has examples and ends well', async (name) => {
    const { exitCode, out, err } = await capture([name, '--help']);
    expect([exitCode, err]).toEqual([0, '']);
    expect(out).toContain(`Usage: compress ${name}`);
    expect(out).toContain(`$ compress ${name}`);
    expect(out).toContain('--json');
    expect(out.endsWith('\n')).toBe(true);
  });

  test('help <command> is the same as <command> --help', async () => {
    expect(await capture(['help', 'plan'])).toEqual(await capture(['plan', '--help']));
  });

  test('says its version', async () => {
    const version = JSON.parse(readFileSync('package.json', 'utf8')).version;
    expect((await capture(['--version'])).out).toBe(`${version}\n`);
  });
});

describe('a wrong command line', () => {
  test('an unknown command is a user error that names the nearest one', async () => {
    const { exitCode, out, err } = await capture(['quantise', 'x']);
    expect([exitCode, out]).toEqual([2, '']);
    expect(err).toBe(
      "error: there is no command 'quantise'\n  hint: Did you mean 'quantize'?\n  more:  docs/troubleshooting.md#usage\n",
    );
  });

  test('an unknown flag names the nearest one', async () => {
    const { exitCode, err } = await capture(['quantize', 'm.onnx', '--group-sise', '32']);
    expect(exitCode).toBe(2);
    expect(err).toContain("unknown option '--group-sise'");
    expect(err).toContain('Did you mean --group-size?');
  });

  test('a missing argument is named', async () => {
    const { exitCode, err } = await capture(['run']);
    expect(exitCode).toBe(2);
    expect(err).toContain("missing required argument 'recipe'");
  });

  test('too many arguments are refused', async () => {
    expect((await capture(['inspect', 'a', 'b'])).exitCode).toBe(2);
  });

  test('--json puts the error on standard output as one document', async () => {
    const { exitCode, out, err } = await capture(['plan', 'none.yaml', '--json']);
    expect([exitCode, err]).toEqual([2, '']);
    expect(JSON.parse(out)).toEqual({
      ok: false,
      exitCode: 2,
      errors: [expect.objectContaining({ code: 'not-found', where: { file: 'none.yaml' } })],
    });
  });

  test('shows no stack, unless --debug asks for it', async () => {
    expect((await capture(['plan', 'none.yaml'])).err).not.toMatch(/\n\s+at /);
    expect((await capture(['plan', 'none.yaml', '--debug'])).err).toMatch(/\n\s+at /);
  });
});

describe('compress cache', () => {
  test('tells what is there, and empties it', async () => {
    const directory = join(folder, 'cache');
    const { Cache } = await import('../../src/recipe/cache.ts');
    new Cache(directory).storeEvaluation('k', [1, 2, 3]);
    const before = JSON.parse((await capture(['cache', '--directory', directory, '--json'])).out);
    expect(before.evaluations.entries).toBe(1);
    expect((await capture(['cache', 'clear', '--directory', directory])).out).toContain('freed');
    expect(
      JSON.parse((await capture(['cache', 'info', '--directory', directory, '--json'])).out).evaluations.entries,
    ).toBe(0);
  });

  test('refuses what it cannot do', async () => {
    expect((await capture(['cache', 'burn'])).err).toContain('Use info, clear, prune.');
    expect((await capture(['cache', 'prune', '--max-size', 'lots'])).err).toContain('--max-size: expected a size');
  });
});

describe('compress doctor', () => {
  test('finds this machine able to do the work', async () => {
    const { exitCode, out } = await capture(['doctor', '--json'], folder);
    const { ok, checks } = JSON.parse(out);
    expect([exitCode, ok]).toEqual([0, true]);
    expect(checks.map((check: { name: string }) => check.name)).toEqual(
      expect.arrayContaining(['node', 'native addon', 'onnxruntime', 'memory', 'cache']),
    );
  });

  test('an unusable cache is something to correct', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    process.env.COMPRESS_CACHE = join(file, 'below');
    try {
      const { exitCode, out } = await capture(['doctor'], folder);
      expect(exitCode).toBe(2);
      expect(out).toContain('broken  cache');
    } finally {
      delete process.env.COMPRESS_CACHE;
    }
  });
});
