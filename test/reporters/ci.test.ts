import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CompressError, CompressErrors } from '../../src/errors.ts';
import type { TimedEvent } from '../../src/recipe/events.ts';
import { reporters } from '../../src/reporters/index.ts';
import { plainStyle } from '../../src/reporters/style.ts';
import { freshFolder } from '../recipe/tiny-run.ts';
import { story } from './story.ts';

interface Told {
  readonly written: string;
  readonly annotations: readonly string[];
}

const tell = async (
  name: string,
  events: readonly TimedEvent[],
  { error, path }: { readonly error?: unknown; readonly path?: string } = {},
): Promise<Told> => {
  let written = '';
  const annotations: string[] = [];
  const card = reporters.find((candidate) => candidate.name === name);
  const reporter = await card?.open(
    {
      write: (text) => {
        written += text;
      },
      live: false,
      columns: 100,
      style: plainStyle,
    },
    { annotate: (line) => annotations.push(line), ...(path === undefined ? {} : { path }) },
  );
  for (const event of events) reporter?.listener(event);
  if (error !== undefined) reporter?.failed?.(error);
  await reporter?.close();
  return { written, annotations };
};

const problems = new CompressErrors([
  new CompressError({
    code: 'recipe',
    message: "unknown key 'bitz'",
    where: { file: 'r.yaml', line: 7, column: 3 },
    hint: "Did you mean 'bits'?",
  }),
  new CompressError({
    code: 'recipe',
    message: '100% <wrong> & "odd"\u0007',
    where: { file: 'r.yaml', line: 9, column: 1 },
  }),
]);

afterEach(() => vi.unstubAllEnvs());

describe('the junit reporter', () => {
  test('has a case for the run and for every gate, with the place of a failed one', async () => {
    expect((await tell('junit', story)).written).toMatchInlineSnapshot(`
      "<?xml version="1.0" encoding="UTF-8"?>
      <testsuites name="modelpress" tests="2" failures="1" errors="0" time="10.002">
        <testsuite name="r.yaml" tests="2" failures="1" errors="0" time="10.002">
          <testcase classname="run" name="r.yaml" time="10.002"/>
          <testcase classname="gates.onnx" name="perplexity increase 2% on stories" time="0" file="r.yaml" line="9"><failure message="found 5.8460, limit 5.7454" type="gate">perplexity increase 2% failed for onnx: found 5.8460, limit 5.7454
      r.yaml:9:5</failure></testcase>
          <system-out>fallback: layers.0.q: more damping was needed</system-out>
        </testsuite>
      </testsuites>
      "
    `);
  });

  test('tells what was thrown as an error, in XML that holds whatever text', async () => {
    const { written } = await tell('junit', [], { error: problems });
    expect(written).toContain('errors="1"');
    expect(written).toContain('100% &lt;wrong&gt; &amp; &quot;odd&quot;\ufffd');
  });
});

describe('the github reporter', () => {
  test('annotates failed gates at the line of the recipe, and fallbacks', async () => {
    expect((await tell('github', story)).annotations).toEqual([
      '::warning title=quantize::layers.0.q: more damping was needed\n',
      '::error file=r.yaml,line=9,col=5,title=quality gate::perplexity increase 2%25 failed for onnx on stories: found 5.8460, limit 5.7454\n',
    ]);
  });

  test('annotates every problem of a recipe at its place', async () => {
    const { annotations } = await tell('github', [], { error: problems });
    expect(annotations).toEqual([
      "::error file=r.yaml,line=7,col=3,title=compress::unknown key 'bitz'%0ADid you mean 'bits'?\n",
      '::error file=r.yaml,line=9,col=1,title=compress::100%25 <wrong> & "odd"\u0007\n',
    ]);
  });

  test('names files as the checkout has them', async () => {
    vi.stubEnv('GITHUB_WORKSPACE', '/checkout');
    const error = new CompressError({ code: 'recipe', message: 'no', where: { file: '/checkout/a,b/r.yaml' } });
    expect((await tell('github', [], { error })).annotations[0]).toBe('::error file=a%2Cb/r.yaml,title=compress::no\n');
  });

  test('appends to the summary of the job, and writes the text of a comment where a file is asked for', async () => {
    const file = join(freshFolder(), 'summary.md');
    writeFileSync(file, 'before\n');
    vi.stubEnv('GITHUB_STEP_SUMMARY', file);
    const { written } = await tell('github', story, { path: 'comment.md' });
    expect(written).toMatchInlineSnapshot(`
      "### ❌ compress: r.yaml

      | metric | data | format | before | after | change |
      |---|---|---|---:|---:|---:|
      | perplexity | stories | onnx | 5.6328 ±0.091 | **5.8460 ±0.091** | +3.79 % |
      | size |  | onnx | 1.04 MB | **310 kB** | 0.297× |

      | gate | verdict | format | data | found | limit |
      |---|---|---|---|---:|---:|
      | perplexity increase 2% | ❌ **failed** | onnx | stories | 5.8460 | 5.7454 |

      <details><summary>1 warnings</summary>

      - fallback: layers.0.q: more damping was needed

      </details>

      a quality gate failed, after 0:10, modelpress 0.1.0
      "
    `);
    expect(readFileSync(file, 'utf8')).toBe(`before\n${written}\n`);
  });

  test('without a file for it writes no summary', async () => {
    vi.stubEnv('GITHUB_STEP_SUMMARY', '');
    expect((await tell('github', story)).written).toBe('');
  });
});

describe('the html reporter', () => {
  test('needs a file, and writes nothing for a run that gives no output', async () => {
    await expect(tell('html', story)).rejects.toThrow('needs a file');
    expect((await tell('html', story.slice(0, 3), { path: 'x.html' })).written).toBe('');
  });
});
