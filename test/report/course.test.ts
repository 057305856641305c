import { describe, expect, test } from 'vitest';
import type { TimedEvent } from '../../src/recipe/events.ts';
import { courseOf } from '../../src/report/course.ts';
import { reportSchema } from '../../src/report/schema.ts';
import { story } from '../reporters/story.ts';
import { sampleReport } from './sample.ts';

describe('the course of a run', () => {
  test('has its steps one after the other, from the beginning to the end', () => {
    const course = courseOf(story);
    expect(course?.steps.map(({ name, startMs, endMs }) => [name, startMs, endMs])).toEqual([
      ['measure before', 0, 1000],
      ['quantize', 1000, 9500],
      ['onnx', 9500, 9600],
      ['measure after', 9600, 10_002],
    ]);
    expect(course?.durationMs).toBe(10_002);
  });

  test('adds up pauses, also one that the run ended in', () => {
    const pauses: TimedEvent[] = [
      { type: 'paused', atMs: 2000 },
      { type: 'resumed', atMs: 2500 },
      { type: 'paused', atMs: 10_000 },
    ];
    const events = [...story.slice(0, -1), ...pauses, ...story.slice(-1)].sort((a, b) => a.atMs - b.atMs);
    expect(courseOf(events)?.pausedMs).toBe(502);
  });

  test('thins long records of memory out', () => {
    const memory = Array.from(
      { length: 5000 },
      (_, index): TimedEvent => ({ type: 'resources', memoryBytes: index, atMs: index }),
    );
    const found = courseOf([...story.slice(0, 1), ...memory, ...story.slice(1)])?.memory ?? [];
    expect(found.length).toBeGreaterThan(300);
    expect(found.length).toBeLessThanOrEqual(600);
  });

  test('is not told by a log without an end', () => {
    expect(courseOf(story.slice(0, -1))).toBeUndefined();
    expect(courseOf([])).toBeUndefined();
  });
});

describe('a report as it is written', () => {
  test('reads back as it was, with null for what is not finite', () => {
    const report = sampleReport();
    expect(reportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
    const [before] = report.metrics.before;
    const odd = { ...report, metrics: { ...report.metrics, before: [{ ...before, value: Number.NaN }] } };
    expect(reportSchema.parse(JSON.parse(JSON.stringify(odd))).metrics.before[0]?.value).toBeNaN();
  });

  test('has no key that the schema does not know', () => {
    expect(reportSchema.safeParse({ ...sampleReport(), more: 1 }).success).toBe(false);
  });
});
