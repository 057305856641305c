import type { MetricResult, TimedEvent } from '../../src/recipe/events.ts';

export const perplexity = (value: number): MetricResult => ({
  metric: 'perplexity',
  dataset: 'stories',
  value,
  interval: 0.0912,
  count: 15507,
  better: 'lower',
});

export const size = (value: number): MetricResult => ({
  metric: 'size',
  dataset: '',
  value,
  unit: 'bytes',
  count: 1,
  better: 'lower',
});

export const runStarted: TimedEvent = {
  type: 'run-started',
  recipe: 'r.yaml',
  version: '0.1.0',
  stages: ['quantize'],
  output: 'out/x',
  formats: ['onnx'],
  maxMemoryBytes: 2 ** 31,
  atMs: 0,
};

/** A run of one stage that ends with a failed gate. */
export const story: readonly TimedEvent[] = [
  runStarted,
  { type: 'metric', model: 'before', result: perplexity(5.632784), atMs: 900 },
  { type: 'metric', model: 'before', result: size(1_044_992), atMs: 900 },
  { type: 'stage-started', index: 0, stage: 'quantize', atMs: 1000 },
  ...[1, 2, 3, 4].map(
    (done): TimedEvent => ({
      type: 'progress',
      task: 'gptq',
      done,
      total: 4,
      unit: 'blocks',
      item: `block ${done}`,
      atMs: 1000 + done * 2000,
    }),
  ),
  {
    type: 'stage-finished',
    index: 0,
    stage: 'quantize',
    findings: [{ kind: 'fallback', text: 'more damping was needed', site: 'layers.0.q' }],
    atMs: 9500,
  },
  { type: 'artifact-written', format: 'onnx', path: 'out/x', bytes: 310_000, atMs: 9600 },
  { type: 'metric', model: 'after', format: 'onnx', result: perplexity(5.846), atMs: 10_000 },
  { type: 'metric', model: 'after', format: 'onnx', result: size(310_000), atMs: 10_000 },
  {
    type: 'gate',
    gate: 'perplexity increase 2%',
    dataset: 'stories',
    format: 'onnx',
    passed: false,
    found: 5.846,
    limit: 5.7454,
    where: { file: 'r.yaml', line: 9, column: 5 },
    atMs: 10_001,
  },
  { type: 'run-finished', outcome: 'gate-failed', peakMemoryBytes: 200e6, atMs: 10_002 },
];
