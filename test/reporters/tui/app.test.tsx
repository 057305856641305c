import { stripVTControlCharacters } from 'node:util';
import { render } from 'ink-testing-library';
import { describe, expect, test, vi } from 'vitest';
import type { RunControl } from '../../../src/reporters/reporter.ts';
import { plainStyle, styleFor } from '../../../src/reporters/style.ts';
import { App } from '../../../src/reporters/tui/app.tsx';
import { composeFrame, type FrameOptions } from '../../../src/reporters/tui/frame.ts';
import { Pacer } from '../../../src/reporters/tui/pacer.ts';
import { RunView } from '../../../src/reporters/view/run-view.ts';
import { story } from '../story.ts';

const viewAfter = (events: number): RunView => {
  const view = new RunView();
  for (const event of story.slice(0, events)) view.apply(event);
  view.apply({ type: 'resources', memoryBytes: 300e6, atMs: view.atMs });
  view.apply({
    type: 'site-finished',
    stage: 'quantize',
    site: 'layers.0.q',
    facts: { scheme: 'int4 g32', output_error: 0.02 },
    atMs: view.atMs,
  });
  view.apply({ type: 'message', severity: 'warning', text: 'something to know', atMs: view.atMs });
  return view;
};

const options = (changes: Partial<FrameOptions> = {}): FrameOptions => ({
  columns: 100,
  rows: 30,
  nowMs: 7000,
  style: plainStyle,
  details: false,
  help: false,
  stopping: false,
  steered: true,
  scrolled: 0,
  ...changes,
});

describe('a frame of the live picture', () => {
  test('shows steps, progress with rate and remaining time, errors, memory, log and keys', () => {
    expect(`\n${composeFrame(viewAfter(7), options({ details: true })).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      compress 0.1.0  0:07  r.yaml → out/x

        ✔ measure before  0:01  perplexity on stories 5.6328 ±0.091, size 1.04 MB
        ● quantize        0:06
        ○ write onnx
        ○ measure after
          ━━━━━━━━━━━━━━━━━━━──────  3/4 blocks  0.5 blocks/s  0:02 left  gptq  block 3
          output error ▁ 0.02
          ━━──────────  memory 300 MB, at most 300 MB; 2.15 GB allowed for activations

          site    what      output error
      ──────────  ────────  ────────────
      layers.0.q  int4 g32          0.02

      ── log ──────────────────────────────────────────────────────────────────────
        something to know

      p pause   q stop   d details   ? help
      "
    `);
  });

  test('never fills the terminal, however low it is, and always shows where the run is', () => {
    for (let rows = 4; rows <= 40; rows++)
      for (const changes of [{}, { details: true }, { help: true }]) {
        const lines = composeFrame(viewAfter(7), options({ rows, ...changes }));
        expect(lines.length).toBeLessThan(rows);
        if (!('help' in changes)) expect(lines.join('\n')).toContain('● quantize');
      }
  });

  test('of a run that has ended holds its steps and no keys', () => {
    const view = new RunView();
    for (const event of story) view.apply(event);
    const text = composeFrame(view, options()).join('\n');
    expect(text).toContain('✔ measure after');
    expect(text).not.toContain('p pause');
  });

  test('says with symbols what it says with colours', () => {
    const coloured = styleFor({ terminal: true, environment: {} });
    expect(stripVTControlCharacters(composeFrame(viewAfter(7), options({ style: coloured })).join('\n'))).toBe(
      composeFrame(viewAfter(7), options()).join('\n'),
    );
    expect(composeFrame(viewAfter(7), options()).join('\n')).not.toContain('\u001b');
  });

  test('scrolls the log back', () => {
    const view = viewAfter(7);
    for (let line = 0; line < 30; line++)
      view.apply({ type: 'message', severity: 'info', text: `line ${line};`, atMs: 1 });
    expect(composeFrame(view, options()).join('\n')).toContain('line 29;');
    const back = composeFrame(view, options({ scrolled: 12 })).join('\n');
    expect(back).toContain('line 17;');
    expect(back).not.toContain('line 18;');
    expect(back).toContain('12 newer below');
  });
});

const recorded = (): { readonly asked: string[]; readonly control: RunControl } => {
  const asked: string[] = [];
  const ask = (what: string) => () => {
    asked.push(what);
  };
  return { asked, control: { pause: ask('pause'), resume: ask('resume'), stop: ask('stop') } };
};

describe('keys', () => {
  test('pause, resume and stop the run; ? and d show more', async () => {
    const { asked, control } = recorded();
    const { stdin, lastFrame, unmount } = render(
      <App view={viewAfter(7)} nowMs={7000} style={plainStyle} control={control} leave={() => {}} />,
    );
    const press = (key: string, shown: string): Promise<void> => {
      stdin.write(key);
      return vi.waitFor(() => expect(lastFrame()).toContain(shown), 5000);
    };
    await vi.waitFor(() => expect(stdin.listenerCount('readable')).toBeGreaterThan(0));
    stdin.write('p');
    stdin.write('r');
    await press('?', 'show or hide this help');
    await press('?', '● quantize');
    await press('d', 'layers.0.q');
    await press('q', 'stopping');
    await press('\u0003', 'stopping');
    await vi.waitFor(() => expect(asked).toEqual(['pause', 'resume', 'stop', 'stop']));
    unmount();
  });

  test('of a run that is only looked at leave it', async () => {
    let left = 0;
    const { stdin, lastFrame, unmount } = render(
      <App view={viewAfter(7)} nowMs={7000} style={plainStyle} control={undefined} leave={() => left++} />,
    );
    await vi.waitFor(() => expect(stdin.listenerCount('readable')).toBeGreaterThan(0));
    expect(lastFrame()).toContain('q leave');
    expect(lastFrame()).not.toContain('pause');
    stdin.write('p');
    stdin.write('q');
    await vi.waitFor(() => expect(left).toBe(1));
    unmount();
  });
});

describe('the pace of drawing', () => {
  test('becomes slower the more a frame costs, but never slower than three seconds', () => {
    const processorMs = (): number => process.cpuUsage().user / 1000;
    const burn = (milliseconds: number) => (): void => {
      const end = processorMs() + milliseconds;
      while (processorMs() < end);
    };
    const paceAt = (milliseconds: number): number => {
      const pacer = new Pacer(burn(milliseconds));
      for (let frame = 0; frame < 3; frame++) pacer.now();
      pacer.stop();
      return pacer.intervalMs;
    };
    expect(paceAt(0)).toBeGreaterThanOrEqual(100);
    expect(paceAt(2)).toBeGreaterThanOrEqual(2 / 0.01);
    expect(paceAt(60)).toBe(3000);
  });
});
