import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freshFolder } from '../recipe/tiny-run.ts';

const root = resolve(import.meta.dirname, '../..');
const main = join(root, 'dist', 'cli', 'main.js');
const model = join(root, 'fixtures', 'made', 'tiny-cnn', 'model.onnx');

interface Action {
  readonly inputs: Record<string, { description: string }>;
  readonly outputs: Record<string, { value: string }>;
  readonly runs: { readonly steps: readonly { readonly id?: string; readonly env?: Record<string, string> }[] };
}

const action = parse(readFileSync(join(root, 'action.yml'), 'utf8')) as Action;

describe('the action', () => {
  test('reads only inputs that it declares, and documents all of them', () => {
    const text = readFileSync(join(root, 'action.yml'), 'utf8');
    for (const [, name = ''] of text.matchAll(/inputs\.([a-z-]+)/g)) expect(Object.keys(action.inputs)).toContain(name);
    const page = readFileSync(join(root, 'docs', 'ci.md'), 'utf8');
    for (const name of [...Object.keys(action.inputs), ...Object.keys(action.outputs)])
      expect(page).toContain(`\`${name}\``);
  });

  const bash = spawnSync('bash', ['--version']).status === 0;
  const ready = bash && existsSync(main) && existsSync(model) && process.platform !== 'win32';

  test.skipIf(!ready).each([
    { ratio: 0.9, code: 0, outcome: 'done' },
    { ratio: 0.01, code: 3, outcome: 'gate-failed' },
  ])('runs a recipe: outcome $outcome', ({ ratio, code, outcome }) => {
    const folder = freshFolder();
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'compress'), `#!/usr/bin/env bash\nexec '${process.execPath}' '${main}' "$@"\n`);
    chmodSync(join(bin, 'compress'), 0o755);
    const recipe = join(folder, 'recipe.yaml');
    const gates = `gates:\n  - size: { ratio: ${ratio} }\n`;
    writeFileSync(recipe, `model: ${model}\noutput: out\nstages:\n  - quantize: { weights: { bits: 8 } }\n${gates}`);
    const outputs = join(folder, 'outputs');
    const summary = join(folder, 'summary.md');
    const { status, stdout, stderr } = spawnSync('bash', [join(root, '.github', 'run-recipe.sh')], {
      cwd: folder,
      encoding: 'utf8',
      env: {
        ...process.env,
        PATH: `${bin}${delimiter}${process.env.PATH}`,
        RECIPE: 'recipe.yaml',
        ARGUMENTS: '--seed 1',
        RUNNER_TEMP: folder,
        GITHUB_OUTPUT: outputs,
        GITHUB_STEP_SUMMARY: summary,
        GITHUB_WORKSPACE: folder,
        COMPRESS_CACHE: join(folder, 'cache'),
      },
    });
    expect(status, stderr).toBe(code);
    const told = Object.fromEntries(
      readFileSync(outputs, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split('=') as [string, string]),
    );
    expect(told).toMatchObject({ outcome, output: join(folder, 'out') });
    expect(Object.keys(told).sort()).toEqual(Object.keys(action.outputs).concat('comment').sort());
    expect(readFileSync(summary, 'utf8')).toContain('compress: ');
    expect(readFileSync(told.comment ?? '', 'utf8')).toContain('size');
    if (code !== 0) expect(stdout + stderr).toMatch(/::error file=recipe\.yaml,line=6,/);
  });
});
