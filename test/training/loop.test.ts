import { describe, expect, it } from 'vitest';
import { type StepReport, type TrainOptions, train } from '../../src/training/loop.ts';
import { type OptimizerName, optimizers } from '../../src/training/optimizers/table.ts';
import { Quadratic } from './quadratic.ts';

const settings = {
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  momentum: 0.9,
  stepSize: 'absolute' as const,
};

const optionsFor = (
  objective: Quadratic,
  changes: Partial<TrainOptions> = {},
  optimizer: OptimizerName = 'adamw',
): TrainOptions => ({
  objective,
  optimizer: optimizers[optimizer].create(objective.parameters, settings),
  schedule: { name: 'cosine', peak: 0.1, warmup: 3, steps: 60 },
  clipNorm: 10,
  averageDecay: 0,
  validateEvery: 10,
  patience: 100,
  store: { get: () => undefined, put: () => {} },
  checkpointEvery: 7,
  signal: new AbortController().signal,
  ...changes,
});

const memoryStore = () => {
  const kept = new Map<string, Uint8Array>();
  return {
    kept,
    get: (key: string) => kept.get(key),
    put: (key: string, bytes: Uint8Array) => void kept.set(key, bytes),
  };
};

describe('training', () => {
  it.each(['adamw', 'muon', 'sign-sgd'] as const)('with %s comes near the least loss', async (name) => {
    const objective = new Quadratic();
    const start = objective.distance;
    const schedule = { name: 'cosine', peak: 0.1, warmup: 3, steps: 240 } as const;
    const result = await train(optionsFor(objective, { schedule }, name));
    expect(result.start).toBe(start);
    expect(result.best).toBeLessThan(0.1 * start);
    expect(objective.distance).toBe(result.best);
    expect(result.stopped).toBeUndefined();
  });

  it.each(['adamw', 'muon', 'sign-sgd'] as const)(
    'with %s that was killed and goes on gives the same bytes',
    async (name) => {
      const changes = { averageDecay: 0.9 };
      const whole = new Quadratic();
      const expected = await train(optionsFor(whole, changes, name));
      const store = memoryStore();
      for (const killedAt of [9, 25, 44]) {
        const stop = new AbortController();
        const part = new Quadratic();
        const onStep = ({ step }: StepReport): void => {
          if (step === killedAt) stop.abort();
        };
        const options = optionsFor(part, { ...changes, store, signal: stop.signal, onStep }, name);
        await expect(train(options)).rejects.toMatchObject({ code: 'interrupted' });
      }
      const steps: number[] = [];
      const last = new Quadratic();
      const found = await train(optionsFor(last, { ...changes, store, onStep: ({ step }) => steps.push(step) }, name));
      expect(steps[0]).toBe(43);
      expect(found).toEqual(expected);
      expect(Buffer.from(last.parameters.values.buffer)).toEqual(Buffer.from(whole.parameters.values.buffer));
    },
  );

  it('keeps the best judged parameters when it ends worse', async () => {
    const objective = new Quadratic();
    const judged: number[] = [];
    const schedule = { name: 'constant', peak: 0.9, warmup: 0, steps: 25 } as const;
    const onValidation = (_: number, value: number): number => judged.push(value);
    const result = await train(optionsFor(objective, { schedule, validateEvery: 1, onValidation }, 'sign-sgd'));
    expect(Math.min(...judged)).toBe(result.best);
    expect(judged.at(-1)).toBeGreaterThan(result.best!);
    expect(objective.distance).toBe(result.best);
  });

  it('stops where the loss is no number, names step and batch, and keeps the best state', async () => {
    const objective = new Quadratic({ brokenStep: 33 });
    const result = await train(optionsFor(objective));
    expect(result).toMatchObject({ step: 32, bestStep: 30, stopped: { kind: 'numeric' } });
    expect(result.stopped?.text).toBe('the loss is NaN at step 33 (samples 33, 34 of numbers)');
    expect(objective.distance).toBe(result.best);
  });

  it('fails where already the first loss is no number', async () => {
    const run = train(optionsFor(new Quadratic({ brokenStep: 1 })));
    await expect(run).rejects.toMatchObject({ code: 'numeric', message: expect.stringContaining('step 1') });
  });

  it('stops when the held-out loss runs away, with the best state kept', async () => {
    const objective = new Quadratic();
    const start = objective.distance;
    const schedule = { name: 'constant', peak: 40, warmup: 0, steps: 60 } as const;
    const result = await train(optionsFor(objective, { schedule, validateEvery: 1 }));
    expect(result.stopped?.kind).toBe('diverged');
    expect(result.step).toBeLessThan(5);
    expect(objective.distance).toBe(start);
  });

  it('ends after judgements without a better one', async () => {
    const objective = new Quadratic();
    const schedule = { name: 'constant', peak: 0.5, warmup: 0, steps: 1000 } as const;
    const result = await train(optionsFor(objective, { schedule, validateEvery: 5, patience: 3 }, 'sign-sgd'));
    expect(result.stopped?.kind).toBe('patience');
    expect(result.step).toBe(result.bestStep + 15);
  });

  it('without held-out samples keeps the last parameters', async () => {
    const objective = new Quadratic({ judges: false });
    const result = await train(optionsFor(objective));
    expect(result).toMatchObject({ step: 60, bestStep: 60, start: undefined, best: undefined });
    expect(objective.distance).toBeLessThan(2);
  });

  it('clips long gradients: the direction stays, the length is the limit', async () => {
    const objective = new Quadratic();
    const norms: number[] = [];
    const before = objective.parameters.values.slice();
    const schedule = { name: 'constant', peak: 1, warmup: 0, steps: 1 } as const;
    const optimizer = {
      states: [],
      step: (gradients: readonly Float32Array[], { gradientScale }: { gradientScale: number }) => {
        norms.push(gradientScale * Math.hypot(...gradients.flatMap((gradient) => [...gradient])));
      },
    };
    await train(optionsFor(objective, { schedule, clipNorm: 0.25, optimizer }));
    expect(norms[0]).toBeCloseTo(0.25, 6);
    expect(objective.parameters.values).toEqual(before);
  });
});
