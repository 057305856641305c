import { describe, expect, test } from 'vitest';
import type { TimedEvent } from '../../src/recipe/events.ts';
import { reporters } from '../../src/reporters/index.ts';
import { plainStyle, printable, styleFor } from '../../src/reporters/style.ts';
import { story } from './story.ts';

const tell = async (name: string, live: boolean, events: readonly TimedEvent[]): Promise<string> => {
  let text = '';
  const card = reporters.find((candidate) => candidate.name === name);
  const target = {
    write: (part: string) => {
      text += part;
    },
    live,
    columns: 60,
    style: plainStyle,
  };
  const reporter = await card?.open(target, { annotate: () => {} });
  for (const event of events) reporter?.listener(event);
  await reporter?.close();
  return text;
};

describe('the plain reporter', () => {
  test('tells a run in lines, with progress at most every five seconds, and ends with the table', async () => {
    expect(await tell('plain', false, story)).toMatchInlineSnapshot(`
      "compress 0.1.0  r.yaml → out/x
        before  perplexity on stories: 5.6328 ±0.091
        before  size: 1.04 MB
      [1/1] quantize
        gptq  100%  4/4 blocks  0.5 blocks/s  block 4
        fallback: layers.0.q: more damping was needed
        wrote onnx 310 kB
        after  onnx  perplexity on stories: 5.8460 ±0.091
        after  onnx  size: 310 kB

      metric      data     format         before          after   change
      ──────────  ───────  ──────  ─────────────  ─────────────  ───────
      perplexity  stories  onnx    5.6328 ±0.091  5.8460 ±0.091  +3.79 %
      size                 onnx          1.04 MB         310 kB   0.297×

      gate perplexity increase 2% FAILED for onnx on stories: found 5.8460, limit 5.7454  r.yaml:9:5

      written out/x (onnx, 310 kB)

      a quality gate failed, after 0:10
      "
    `);
  });

  test('on a terminal redraws one line that never wraps, with rate and remaining time', async () => {
    const text = await tell('plain', true, story);
    const drawn = text.split('\r\u001b[2K').filter((part) => part.includes('%  '));
    expect(drawn.length).toBe(4);
    expect(drawn[1]).toContain('0.5 blocks/s');
    expect(drawn[1]).toContain('0:04 left');
    for (const line of drawn) expect([...line].length).toBeLessThan(60);
  });
});

describe('the json reporter', () => {
  test('writes one object a line that reads back as the event', async () => {
    const lines = (await tell('json', false, story)).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual(story);
  });
});

describe('colours', () => {
  test('follow the terminal, NO_COLOR and FORCE_COLOR', () => {
    const red = (terminal: boolean, environment: Record<string, string>): boolean =>
      styleFor({ terminal, environment }).bad('x') !== 'x';
    expect(red(true, {})).toBe(true);
    expect(red(false, {})).toBe(false);
    expect(red(true, { NO_COLOR: '1' })).toBe(false);
    expect(red(true, { NO_COLOR: '' })).toBe(true);
    expect(red(true, { TERM: 'dumb' })).toBe(false);
    expect(red(false, { FORCE_COLOR: '1' })).toBe(true);
  });

  test('no control character of a file reaches the terminal', () => {
    expect(printable('a\u001b[31mb\n\u009bc')).toBe('a\\x1b[31mb\\x0a\\x9bc');
  });
});
