import { describe, expect, test } from 'vitest';
import type { TimedEvent } from '../../../src/recipe/events.ts';
import { RunView } from '../../../src/reporters/view/run-view.ts';
import { sparkline } from '../../../src/reporters/view/sparkline.ts';
import { perplexity, runStarted, size, story } from '../story.ts';

const viewOf = (events: readonly TimedEvent[]): RunView => {
  const view = new RunView();
  for (const event of events) view.apply(event);
  return view;
};

const states = (view: RunView): string[] => view.steps.map(({ name, state }) => `${name}: ${state}`);

describe('the view of a run', () => {
  test('knows its steps from the beginning, and where it is', () => {
    expect(states(viewOf(story.slice(0, 1)))).toEqual([
      'measure before: running',
      'quantize: waiting',
      'onnx: waiting',
      'measure after: waiting',
    ]);
    expect(states(viewOf(story.slice(0, 6)))).toEqual([
      'measure before: done',
      'quantize: running',
      'onnx: waiting',
      'measure after: waiting',
    ]);
    expect(states(viewOf(story)).every((line) => line.endsWith('done'))).toBe(true);
  });

  test('at every moment of a run at most one step goes on, and finished steps stay finished', () => {
    const view = new RunView();
    let done = 0;
    for (const event of story) {
      view.apply(event);
      expect(view.steps.filter((step) => step.state === 'running').length).toBeLessThanOrEqual(1);
      const finished = view.steps.filter((step) => step.state === 'done').length;
      expect(finished).toBeGreaterThanOrEqual(done);
      done = finished;
    }
  });

  test('marks the step that a run failed in', () => {
    const view = viewOf([
      ...story.slice(0, 5),
      { type: 'run-finished', outcome: 'failed', peakMemoryBytes: 1, error: 'no', atMs: 9 },
    ]);
    expect(states(view)[1]).toBe('quantize: failed');
    expect(view.log.at(-1)).toEqual({ kind: 'bad', text: 'no' });
  });

  test('a run without stages goes from measuring to writing', () => {
    const view = viewOf([
      { ...runStarted, stages: [] } as TimedEvent,
      { type: 'metric', model: 'before', result: perplexity(5), atMs: 1 },
      { type: 'metric', model: 'before', result: size(10), atMs: 2 },
    ]);
    expect(states(view)[1]).toBe('onnx: running');
  });

  test('a stage from the cache is told apart, and the next begins', () => {
    const view = viewOf([
      { ...runStarted, stages: ['quantize', 'distill'] } as TimedEvent,
      { type: 'stage-cached', index: 0, stage: 'quantize', key: 'k', atMs: 5 },
      { type: 'stage-finished', index: 0, stage: 'quantize', findings: [], atMs: 5 },
      { type: 'stage-started', index: 1, stage: 'distill', atMs: 6 },
    ]);
    expect(states(view).slice(0, 3)).toEqual(['measure before: done', 'quantize: cached', 'distill: running']);
  });

  test('measures rates anew after a pause', () => {
    const progress = (done: number, atMs: number): TimedEvent => ({
      type: 'progress',
      task: 'gptq',
      done,
      total: 100,
      unit: 'blocks',
      atMs,
    });
    const view = viewOf([
      ...story.slice(0, 4),
      progress(1, 1000),
      progress(2, 2000),
      { type: 'paused', atMs: 2000 },
      { type: 'resumed', atMs: 1_000_000 },
      progress(3, 1_001_000),
      progress(4, 1_002_000),
    ]);
    expect(view.paused).toBe(false);
    expect(view.tasks.current(1_002_000)[0]?.perSecond).toBe(1);
    expect(view.tasks.current(1_002_000)[0]?.remainingMs).toBe(96_000);
  });

  test('draws losses of training rather than errors of sites, and keeps long series short', () => {
    const view = viewOf([runStarted]);
    for (let step = 1; step <= 5000; step++)
      view.apply({
        type: 'training-step',
        stage: 'distill',
        step,
        steps: 5000,
        loss: 10 / step,
        parts: {},
        learningRate: 1e-3,
        gradientNorm: 1,
        seen: step,
        atMs: step,
      });
    view.apply({ type: 'site-finished', stage: 'x', site: 's', facts: { output_error: 3 }, atMs: 6000 });
    expect(view.series.name).toBe('loss');
    expect(view.series.values.length).toBeLessThanOrEqual(2048);
    expect(view.series.values.length).toBeGreaterThan(1000);
    expect(view.series.values).toEqual([...view.series.values].sort((a, b) => b - a));
  });
});

describe('a sparkline', () => {
  test('rises with its values and lies low where they are equal', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([3, 3, 3], 8)).toBe('▁▁▁');
    expect(sparkline([], 8)).toBe('');
  });

  test('shows values that span decades by their logarithms', () => {
    expect(sparkline([1, 10, 100], 8)).toBe('▁▅█');
  });

  test('is as wide as asked for at most, and leaves out what is no number', () => {
    expect(
      [
        ...sparkline(
          Array.from({ length: 1000 }, (_, index) => Math.sqrt(index)),
          20,
        ),
      ].length,
    ).toBe(20);
    expect(sparkline([1, Number.NaN, 2, Number.POSITIVE_INFINITY], 9)).toBe('▁█');
  });
});
