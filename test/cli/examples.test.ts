import { describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands/index.ts';
import { capture } from './capture.ts';
import { parseExample, wordsOf } from './parse-example.ts';

const examplesOf = (help: string): string[] =>
  help
    .replaceAll(/\\\n\s+/g, '')
    .split('\n')
    .filter((line) => /^\s+\$ compress /.test(line))
    .map((line) => line.trim().slice(2));

describe('the examples that help shows', () => {
  test('of the program are commands that there are', async () => {
    const examples = examplesOf((await capture(['--help'])).out);
    expect(examples.length).toBeGreaterThan(2);
    for (const line of examples) await parseExample(line);
  });

  test.each(commands.map((card) => card.name))('of %s have its own arguments and flags', async (name) => {
    const examples = examplesOf((await capture([name, '--help'])).out);
    expect(examples.length).toBeGreaterThan(0);
    expect(wordsOf(examples[0] ?? '')[1]).toBe(name);
    for (const line of examples) await parseExample(line);
  });
});
