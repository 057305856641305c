import { expect, test } from 'vitest';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { divergenceOf, itemsOf } from '../../src/curvature/divergence.ts';
import { outputReadings } from '../../src/curvature/readings.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';

const kindsOf = (outputs: string, body: string, inputs = 'x: float32[N, 8]'): string[] =>
  outputReadings(
    parseProgram(`program opset=21
graph g(${inputs}) -> (${outputs}) {
${body}
}
`),
  ).map(({ value, kind, axis }) => `${value.name} ${kind} ${axis}`);

test('an output is read by where its numbers come from', () => {
  expect(kindsOf('y', '  y: float32[N, 8] = Relu(x)')).toEqual(['y logits 1']);
  expect(kindsOf('y', '  y: float32[N, 8] = Softmax(x, axis=1)')).toEqual(['y probabilities 1']);
  expect(kindsOf('y', '  y: float32[N, 8] = Sigmoid(x)')).toEqual(['y chance 1']);
  expect(kindsOf('y', '  y: float32[N, 1] = ReduceMean(x)')).toEqual(['y gaussian 1']);
  expect(kindsOf('y', '  y: float32[N, 3, 5, 5] = Relu(x)', 'x: float32[N, 3, 5, 5]')).toEqual(['y gaussian 3']);
  expect(kindsOf('logits', '  logits: float32[N, 3, 5, 5] = Relu(x)', 'x: float32[N, 3, 5, 5]')).toEqual([
    'logits logits 1',
  ]);
  expect(kindsOf('y', '  y: float32[N, 9, 1, 1] = Relu(x)', 'x: float32[N, 9, 1, 1]')).toEqual(['y logits 1']);
  expect(kindsOf('last_hidden_state', '  last_hidden_state: float32[N, 8] = Relu(x)')).toEqual([
    'last_hidden_state gaussian 1',
  ]);
});

test('every output counts, save beside logits and what is kept for the next step', () => {
  const two = '  boxes: float32[N, 4, 4] = Relu(x)\n  scores: float32[N, 4, 2] = Softmax(x)';
  expect(kindsOf('scores, boxes', two, 'x: float32[N, 4, 4]')).toEqual(['scores probabilities 2', 'boxes gaussian 2']);
  const past = '  logits: float32[N, 8] = Relu(x)\n  present.0.key: float32[N, 8] = Tanh(x)';
  expect(kindsOf('logits, present.0.key', past)).toEqual(['logits logits 1']);
});

const arrays = (
  name: string,
  shape: readonly number[],
  numbers: readonly number[],
): ReadonlyMap<string, NumericArray> =>
  new Map([[name, { dtype: 'float32', shape, data: Float32Array.from(numbers) }]]);

const readingsOf = (shape: string, op: string) =>
  outputReadings(
    parseProgram(`program opset=21\ngraph g(x: ${shape}) -> (logits) {\n  logits: ${shape} = ${op}(x)\n}\n`),
  );

test('the divergence of scores is the sum of p log(p/q) over rows, along any axis', async () => {
  const random = new Random(1, 'scores');
  const [before, after] = [random.normals(24), random.normals(24)];
  // (1, 3, 2, 4): classes are the channels.
  let expected = 0;
  for (let at = 0; at < 8; at++) {
    const softmax = (x: Float64Array | number[]): number[] => {
      const e = [0, 1, 2].map((c) => Math.exp(x[c * 8 + at]!));
      return e.map((value) => value / (e[0]! + e[1]! + e[2]!));
    };
    const [p, q] = [softmax([...before]), softmax([...after])];
    for (let c = 0; c < 3; c++) expected += p[c]! * Math.log(p[c]! / q[c]!);
  }
  const readings = readingsOf('float32[1, 3, 2, 4]', 'Relu');
  const found = await divergenceOf(
    readings,
    arrays('logits', [1, 3, 2, 4], [...before]),
    arrays('logits', [1, 3, 2, 4], [...after]),
  );
  expect(found).toBeCloseTo(expected, 5);
  expect(itemsOf(readings, arrays('logits', [1, 3, 2, 4], [...before]))).toBe(8);
});

test('regressions diverge by half the squared difference, chances by both outcomes', async () => {
  const gaussian = outputReadings(
    parseProgram('program opset=21\ngraph g(x: float32[N, 1]) -> (y) {\n  y: float32[N, 1] = Relu(x)\n}\n'),
  );
  expect(await divergenceOf(gaussian, arrays('y', [2, 1], [1, 2]), arrays('y', [2, 1], [1.5, 4]))).toBeCloseTo(
    2.125,
    9,
  );
  const chance = outputReadings(
    parseProgram('program opset=21\ngraph g(x: float32[N, 1]) -> (y) {\n  y: float32[N, 1] = Sigmoid(x)\n}\n'),
  );
  const found = await divergenceOf(chance, arrays('y', [1, 1], [0.25]), arrays('y', [1, 1], [0.5]));
  expect(found).toBeCloseTo(0.25 * Math.log(0.5) + 0.75 * Math.log(1.5), 6);
});

test('an output that the changed model does not give is taken as unchanged', async () => {
  const readings = readingsOf('float32[1, 4]', 'Relu');
  expect(await divergenceOf(readings, arrays('logits', [1, 4], [1, 2, 3, 4]), new Map())).toBe(0);
});
