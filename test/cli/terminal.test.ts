import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freshFolder, languageRecipe, writeRecipe } from '../recipe/tiny-run.ts';

const root = join(import.meta.dirname, '../..');

type Pty = typeof import('@lydell/node-pty');

/** The module, or why it does not load on this machine. */
const loadPty = (): Pty | string => {
  try {
    return createRequire(import.meta.url)('@lydell/node-pty') as Pty;
  } catch (error) {
    return String(error);
  }
};

const pty = loadPty();

interface Session {
  readonly exitCode: number;
  readonly text: string;
}

/**
 * Runs the small recipe in a pseudo-terminal. `steps` are taken one after the other: each waits for a text and then
 * types or resizes.
 */
const drive = (
  { spawn }: Pty,
  folder: string,
  steps: readonly { readonly until: RegExp; readonly act: (terminal: import('@lydell/node-pty').IPty) => void }[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Session> =>
  new Promise((resolve) => {
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(
        ([name]) => !['CI', 'NO_COLOR', 'FORCE_COLOR', 'GITHUB_ACTIONS'].includes(name),
      ),
    ) as Record<string, string>;
    const recipe = writeRecipe(folder, languageRecipe());
    const terminal = spawn(process.execPath, ['--import', 'tsx', join(root, 'src/cli/main.ts'), 'run', recipe], {
      cols: 100,
      rows: 30,
      cwd: root,
      env: { ...inherited, TERM: 'xterm-256color', COMPRESS_CACHE: join(folder, 'cache'), ...environment },
    });
    let text = '';
    let waiting = [...steps];
    terminal.onData((data) => {
      text += data;
      const [next, ...rest] = waiting;
      if (!next?.until.test(text)) return;
      waiting = rest;
      text += '\n<acted>\n';
      next.act(terminal);
    });
    terminal.onExit(({ exitCode }) => resolve({ exitCode, text }));
  });

describe.skipIf(typeof pty === 'string')('a run on a terminal (needs @lydell/node-pty)', { timeout: 120_000 }, () => {
  const module = pty as Pty;

  test('is drawn live, survives resizing, pauses and goes on, and leaves its summary', async () => {
    const { exitCode, text } = await drive(module, freshFolder(), [
      { until: /● quantize/, act: (terminal) => terminal.write('p') },
      { until: /<acted>.*paused/s, act: (terminal) => terminal.resize(48, 10) },
      { until: /<acted>.*<acted>.*resume/s, act: (terminal) => terminal.write('r') },
    ]);
    expect(exitCode).toBe(0);
    expect(text.split('<acted>').length).toBe(4);
    expect(text).toContain('\u001b[1m');
    expect(text).toContain('✔ measure after');
    expect(text).toMatch(/perplexity +held-out/);
    expect(text).toContain('done in');
  });

  test('stops cleanly with q: exit code 130, the cursor back', async () => {
    const { exitCode, text } = await drive(module, freshFolder(), [
      { until: /● quantize/, act: (terminal) => terminal.write('q') },
    ]);
    expect(exitCode).toBe(130);
    expect(text).toContain('Run the same command again');
    expect(text.lastIndexOf('\u001b[?25h')).toBeGreaterThan(text.lastIndexOf('\u001b[?25l'));
  });

  test('without colours under NO_COLOR', async () => {
    const { exitCode, text } = await drive(module, freshFolder(), [], { NO_COLOR: '1' });
    expect(exitCode).toBe(0);
    expect(text).toContain('✔ measure after');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes are what is looked for
    expect(text).not.toMatch(/\u001b\[(1|2|3\d|9\d)m/);
  });

  test('is told in plain lines under CI=true', async () => {
    const { exitCode, text } = await drive(module, freshFolder(), [], { CI: 'true' });
    expect(exitCode).toBe(0);
    expect(text).toContain('[1/1]');
    expect(text).not.toContain('● quantize');
  });
});
