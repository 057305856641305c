import { describe, expect, it } from 'vitest';
import { adamwStep, followAverage, muonStep, setThreads, signStep, sumOfSquares } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { adamw } from '../../src/training/optimizers/adamw.ts';
import { type ParameterGroup, ParameterSet } from '../../src/training/parameters.ts';

const settings = {
  weightDecay: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  momentum: 0.9,
  stepSize: 'relative' as const,
};

describe('AdamW over groups', () => {
  it('equals the algorithm written out, with decay for matrices only and steps in units of each parameter', () => {
    const random = new Random(1);
    const parameters = new ParameterSet([
      { name: 'gain', shape: [3], group: 'vector', initial: random.normals(3) },
      { name: 'weight', shape: [2, 4], group: 'matrix', initial: random.normals(8) },
      { name: 'scales', shape: [2], group: 'scale', initial: random.normals(2), unit: 0.5 },
      { name: 'other', shape: [5], group: 'matrix', initial: random.normals(5) },
    ]);
    expect(parameters.entries.map(({ name }) => name)).toEqual(['weight', 'other', 'gain', 'scales']);
    const units = parameters.entries.flatMap(({ unit, length }) => Array<number>(length).fill(unit));
    const expected = Float64Array.from(parameters.values);
    const first = new Float64Array(18);
    const second = new Float64Array(18);
    const optimizer = adamw.create(parameters, settings);
    for (let step = 1; step <= 4; step++) {
      const gradients = parameters.entries.map(({ length }) => random.normals(length));
      optimizer.step(gradients, { step, learningRate: 0.01, gradientScale: 0.5 });
      gradients
        .flatMap((gradient) => [...gradient])
        .forEach((raw, index) => {
          const g = 0.5 * raw;
          const rate = 0.01 * units[index]!;
          const decay = index < 13 ? 0.1 : 0;
          first[index] = 0.9 * first[index]! + 0.1 * g;
          second[index] = 0.95 * second[index]! + 0.05 * g * g;
          const mean = first[index]! / (1 - 0.9 ** step);
          const square = second[index]! / (1 - 0.95 ** step);
          expected[index]! -= rate * decay * expected[index]! + (rate * mean) / (Math.sqrt(square) + 1e-8);
        });
    }
    parameters.values.forEach((value, index) => {
      expect(value).toBeCloseTo(expected[index]!, 5);
    });
  });
});

describe('the unit of a parameter', () => {
  it('is the size of its numbers, and a tenth of that for gains and scales', () => {
    const initial = Float32Array.of(3, -4, 0, 5);
    const unitOf = (group: ParameterGroup): number =>
      new ParameterSet([{ name: 'x', shape: [4], group, initial }]).entries[0]!.unit;
    expect(unitOf('matrix')).toBeCloseTo(Math.sqrt(12.5), 6);
    expect(unitOf('vector')).toBeCloseTo(Math.sqrt(12.5) / 10, 6);
  });
});

describe('kernels of optimizers', () => {
  const size = 50_000;
  const run = () => {
    const random = new Random(7);
    const gradients = [random.normals(size - 600), random.normals(600)];
    const buffers = Array.from({ length: 6 }, () => random.normals(size));
    const [a, b, c, d, e, f] = buffers as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const common = { gradients, learningRate: 0.01, weightDecay: 0.1, gradientScale: 0.3, momentum: 0.9 };
    c.fill(1);
    adamwStep({ ...common, parameters: a, first: b, second: c, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, step: 3 });
    signStep({ ...common, parameters: d, state: e });
    muonStep({
      ...common,
      parameters: f,
      state: e,
      shapes: [
        { rows: 200, columns: 247 },
        { rows: 20, columns: 30 },
      ],
    });
    followAverage(a, f, 0.9);
    return [...buffers, Float64Array.of(sumOfSquares(gradients))];
  };

  it('give the same bits for any number of threads', () => {
    try {
      setThreads(1);
      const found = run();
      for (const threads of [2, 5]) {
        setThreads(threads);
        expect(
          run().every(
            (buffer, index) => Buffer.compare(Buffer.from(buffer.buffer), Buffer.from(found[index]!.buffer)) === 0,
          ),
        ).toBe(true);
      }
    } finally {
      setThreads(0);
    }
  });

  it('refuse gradients that do not cover the parameters', () => {
    const state = new Float32Array(4);
    const input = { parameters: new Float32Array(4), gradients: [new Float32Array(3)], state };
    expect(() => signStep({ ...input, learningRate: 1, weightDecay: 0, gradientScale: 1, momentum: 0 })).toThrow(
      /4 elements where 3/,
    );
  });

  it('show numbers that are not finite', () => {
    expect(sumOfSquares([Float32Array.of(1, Number.NaN)])).toBeNaN();
    expect(sumOfSquares([Float32Array.of(3), Float32Array.of(4)])).toBe(25);
  });
});
