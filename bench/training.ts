// Tokens a second of a training step, its parts, and beside it the same step in PyTorch where a Python with torch is
// given. Both run in one call, one after the other, so that they see the same machine.
//
// Processor time a step is printed too: it says the same on a machine that others use. With one thread each
// (--threads 1) nothing of it is spent on waiting.
//
//   npx tsx bench/training.ts [--batch 16] [--micro-batch 4] [--steps 5] [--threads 1] [--loss cross-entropy|kl]
//     [--block-by-block] [--python .venv/bin/python]
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Dataset } from '../src/calibration/dataset.ts';
import { bindingOf } from '../src/execution/feeds.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import type { Engine } from '../src/execution/session.ts';
import { cloneProgram } from '../src/ir/clone.ts';
import { inferShapes } from '../src/ir/inference/index.ts';
import { sumOfSquares } from '../src/kernels/index.ts';
import { Random } from '../src/random.ts';
import { collate, readSample } from '../src/training/batches.ts';
import { buildPrograms, GraphObjective } from '../src/training/graph-objective.ts';
import type { LossPlan } from '../src/training/loss-graph.ts';
import { distributionLosses } from '../src/training/losses/table.ts';
import { predictMemory } from '../src/training/memory.ts';
import { optimizers } from '../src/training/optimizers/table.ts';
import { ModelTeacher } from '../src/training/teacher.ts';
import { findTrainable, readTrainable } from '../src/training/trainable.ts';
import { plainWeight } from '../src/training/weights/plain.ts';
import { benchConfig, benchProgram } from './training-model.ts';

const { values: given } = parseArgs({
  options: {
    batch: { type: 'string', default: '16' },
    // What the stage takes for windows of this length.
    'micro-batch': { type: 'string', default: '4' },
    steps: { type: 'string', default: '5' },
    threads: { type: 'string' },
    loss: { type: 'string', default: 'cross-entropy' },
    'block-by-block': { type: 'boolean', default: false },
    python: { type: 'string' },
  },
});
const batch = Number(given.batch);
const steps = Number(given.steps);
const distils = given.loss === 'kl';
const window = benchConfig.max_position_embeddings;

/** Windows of random tokens, more than are ever seen twice. */
const randomWindows: Dataset = {
  description: 'random tokens',
  length: batch * (steps + 2),
  fingerprint: 'random',
  sample: async (index) => {
    const random = new Random(1, `window ${index}`);
    const ids = Int32Array.from({ length: window }, () => random.integer(benchConfig.vocab_size));
    return { kind: 'tokens', ids, scored: new Uint8Array(window).fill(1) };
  },
};

/** Seconds inside onnxruntime since the last look: of the student's steps, and of the teacher. */
const spent = { student: 0, teacher: 0 };

const timed = (engine: Engine, whose: keyof typeof spent): Engine => ({
  name: engine.name,
  open: async (program, options) => {
    const session = await engine.open(program, options);
    return {
      ...session,
      run: async (feeds, wanted) => {
        const begin = performance.now();
        const outputs = await session.run(feeds, wanted);
        spent[whose] += (performance.now() - begin) / 1000;
        return outputs;
      },
    };
  },
});

const student = cloneProgram(benchProgram(1));
inferShapes(student);
const teacherProgram = cloneProgram(benchProgram(2));
inferShapes(teacherProgram);
const weights = new Map(
  findTrainable(student).map((one) => [
    one.value,
    plainWeight(one.value.name, one.tensor.shape, readTrainable(one), one.kind),
  ]),
);
const scores = { value: student.graph.outputs[0]!, kind: 'scores' } as const;
const loss: LossPlan = {
  scores,
  classes: undefined,
  distributions: [{ loss: distributionLosses[distils ? 'forward-kl' : 'cross-entropy'], weight: 1, mixture: 0 }],
  temperature: 1,
  teachers: [{ share: 1, kept: undefined }],
  features: [],
  squares: [],
  windows: true,
};
const threads = given.threads === undefined ? undefined : Number(given.threads);
const session = { scratchDirectory: tmpdir(), threads };
const teacher = await ModelTeacher.open({
  program: teacherProgram,
  values: distils ? [teacherProgram.graph.outputs[0]!] : [],
  dataset: randomWindows,
  engine: timed(onnxruntimeEngine, 'teacher'),
  maxCacheBytes: 0,
  session,
});
const programs = buildPrograms({ student, weights, extra: [], loss });
const peakBefore = process.resourceUsage().maxRSS;
const signal = new AbortController().signal;
const objective = await GraphObjective.open(
  {
    student,
    weights,
    extra: [],
    loss,
    teachers: [teacher],
    dataset: randomWindows,
    train: Array.from({ length: randomWindows.length }, (_, index) => index),
    held: [],
    batch,
    microBatch: Number(given['micro-batch']),
    seed: 0,
    engine: timed(onnxruntimeEngine, 'student'),
    session,
    blockwise: given['block-by-block']
      ? { maxMemoryBytes: 2 ** 24, scratch: { directory: mkdtempSync(join(tmpdir(), 'modelpress-training-')) }, signal }
      : undefined,
    signal,
  },
  programs,
);
const optimizer = optimizers.adamw.create(objective.parameters, {
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  momentum: 0.95,
  stepSize: 'absolute',
});

interface StepTimes {
  readonly total: number;
  /** Of all threads. */
  readonly processor: number;
  readonly student: number;
  readonly teacher: number;
  readonly optimizer: number;
}

const timeStep = async (step: number): Promise<StepTimes> => {
  spent.student = 0;
  spent.teacher = 0;
  const before = process.cpuUsage();
  const begin = performance.now();
  const { gradients } = await objective.gradient(step);
  const between = performance.now();
  const norm = Math.sqrt(sumOfSquares(gradients));
  optimizer.step(gradients, { step, learningRate: 1e-3, gradientScale: Math.min(1, 1 / norm) });
  const end = performance.now();
  const used = process.cpuUsage(before);
  return {
    total: (end - begin) / 1000,
    processor: (used.user + used.system) / 1e6,
    student: spent.student,
    teacher: spent.teacher,
    optimizer: (end - between) / 1000,
  };
};

await timeStep(1);
const times: StepTimes[] = [];
for (let step = 2; step < steps + 2; step++) times.push(await timeStep(step));
const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
const total = median(times.map((time) => time.total));
const processor = median(times.map((time) => time.processor));
const part = (name: keyof StepTimes): string => `${(1000 * median(times.map((time) => time[name]))).toFixed(0)} ms`;
const other = median(times.map((time) => time.total - time.student - time.teacher - time.optimizer));
console.log(
  `${objective.parameters.length} parameters, ${batch} windows of ${window} tokens a step, loss ${given.loss}, ${threads ?? availableParallelism()} threads`,
);
const speeds = (seconds: number, processorSeconds: number): string =>
  `${((batch * window) / seconds).toFixed(0)} tokens/s, ${(1000 * seconds).toFixed(0)} ms a step, of processors ${(1000 * processorSeconds).toFixed(0)} ms`;
console.log(`modelpress: ${speeds(total, processor)}`);
console.log(
  `  forward and backward ${part('student')}, teacher ${part('teacher')}, optimizer ${part('optimizer')}, data and copies ${(1000 * other).toFixed(0)} ms`,
);
const first = await readSample(randomWindows, 0);
const single = collate([{ index: 0, sample: first, origin: 'dataset' }], bindingOf(student), 'a window');
const { perSample, perSampleOfBlock } = predictMemory(programs, single, objective.parameters.length);
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const atOnce = Number(given['micro-batch']);
console.log(
  `  memory beyond the process before: ${mebibytes(1024 * (process.resourceUsage().maxRSS - peakBefore))}; activations predicted: ${mebibytes(atOnce * perSample)}, block by block ${mebibytes(atOnce * perSampleOfBlock)}`,
);
await objective.close();
await teacher.close();
if (given.python) {
  const script = join(import.meta.dirname, 'training.py');
  const flags = [
    '--threads',
    String(threads ?? availableParallelism()),
    '--steps',
    String(steps),
    '--batch',
    String(batch),
  ];
  const said = execFileSync(given.python, [script, ...flags, '--loss', given.loss], { encoding: 'utf8' });
  const [seconds, processorSeconds] = said.trim().split(' ').map(Number) as [number, number];
  console.log(`PyTorch: ${speeds(seconds, processorSeconds)}`);
}
