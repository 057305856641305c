import { describe, expect, test } from 'vitest';
import type { Dataset, Sample } from '../../src/calibration/dataset.ts';
import { arrayOfNumbers, floatArray } from '../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import type { Program } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { defaultMetrics, evaluate } from '../../src/metrics/evaluate.ts';
import { metrics as table } from '../../src/metrics/table.ts';
import type { RunEvent } from '../../src/recipe/events.ts';

const datasetOf = (samples: readonly Sample[]): Dataset => ({
  description: 'test data',
  fingerprint: '',
  length: samples.length,
  sample: async (index) => samples[index]!,
});

const measure = async (
  program: Program,
  samples: readonly Sample[],
  metrics: readonly string[],
  reference?: Program,
) => {
  const events: RunEvent[] = [];
  const emit = (event: RunEvent): void => void events.push(event);
  const options = { program, reference, dataset: datasetOf(samples), metrics, engine: onnxruntimeEngine, emit };
  const results = await evaluate(options);
  return Object.fromEntries(results.map((result) => [result.metric, result]));
};

/** A language model that scores 8 tokens by a table of what follows what. */
const bigram = (scale: number): Program =>
  parseProgram(`program opset=21
graph main(input_ids: int64[batch, sequence]) -> (logits: float32[batch, sequence, 8]) {
  w: float32[8, 8] = random(seed=1, scale=${scale})
  logits = Gather(w, input_ids)
}`);

const tokens = (
  ids: readonly number[],
  scored: readonly number[] = ids.map((_, index) => (index === 0 ? 0 : 1)),
): Sample => ({
  kind: 'tokens',
  ids: Int32Array.from(ids),
  scored: Uint8Array.from(scored),
});

const windows = [tokens([0, 1, 2, 3]), tokens([4, 5]), tokens([6, 7, 0, 3, 1, 2])];

/** A classifier of two numbers into three classes. */
const classifier = (body: string): Program =>
  parseProgram(`program opset=21\ngraph main(x: float32[batch, 2]) -> (y: float32[batch, 3]) {
  w: float32[2, 3] = [[1, 0, -1], [0, 2, 0.5]]
  ${body}
}`);

const labelled = [
  [3, 0, 0],
  [0, 3, 1],
  [-3, 0, 2],
  [0.1, -3, 1],
].map(
  ([a = 0, b = 0, label = 0]): Sample => ({
    kind: 'arrays',
    arrays: new Map([['', floatArray([1, 2], Float32Array.of(a, b))]]),
    label,
  }),
);

describe('evaluation', () => {
  test('the perplexity of a model that knows nothing is the size of its vocabulary', async () => {
    const found = await measure(bigram(0), windows, ['perplexity', 'nll', 'accuracy']);
    expect(found.perplexity).toMatchObject({
      value: expect.closeTo(8, 5),
      count: 9,
      dataset: 'test data',
      better: 'lower',
    });
    expect(found.perplexity?.interval).toBeCloseTo(0, 9);
    expect(found.nll?.value).toBeCloseTo(Math.log(8), 6);
    expect(found.accuracy?.value).toBeCloseTo(1 / 9, 9);
  });

  test('only tokens that are to be predicted count', async () => {
    const all = await measure(bigram(2), [tokens([0, 1, 2, 3])], ['nll']);
    const one = await measure(bigram(2), [tokens([0, 1, 2, 3], [0, 0, 0, 1])], ['nll']);
    const same = await measure(bigram(2), [tokens([2, 3])], ['nll']);
    expect(one.nll).toMatchObject({ value: same.nll!.value, count: 1 });
    expect(all.nll?.count).toBe(3);
  });

  test('a model compared with itself differs by nothing', async () => {
    const names = ['kl', 'agreement', 'snr', 'cosine'];
    const found = await measure(bigram(1), windows, names, bigram(1));
    expect(names.map((name) => found[name]?.value)).toEqual([0, 1, 400, expect.closeTo(1, 12)]);
  });

  test('divergence and perplexity are consistent: halving all scores of the model moves it from the reference', async () => {
    const found = await measure(bigram(1), windows, ['kl', 'agreement', 'snr'], bigram(2));
    expect(found.kl?.value).toBeGreaterThan(0.01);
    expect(found.agreement?.value).toBe(1);
    expect(found.snr?.value).toBeCloseTo(10 * Math.log10(4), 6);
  });

  test('probabilities and scores of the same model measure the same', async () => {
    const scores = classifier('y = MatMul(x, w)');
    const other = classifier('z = MatMul(x, w)\n  v = Mul(z, z)\n  y = Softmax(v, axis=-1)');
    const probabilities = classifier('z = MatMul(x, w)\n  y = Softmax(z, axis=-1)');
    const names = ['accuracy', 'nll'];
    const [byScores, byProbabilities] = [
      await measure(scores, labelled, names),
      await measure(probabilities, labelled, names),
    ];
    expect(byProbabilities.accuracy?.value).toBe(byScores.accuracy?.value);
    expect(byProbabilities.nll?.value).toBeCloseTo(byScores.nll!.value, 5);
    const [kl, klProbabilities] = [
      await measure(scores, labelled, ['nll'], other),
      await measure(other, labelled, ['kl'], probabilities),
    ];
    expect(kl.nll?.value).toBe(byScores.nll?.value);
    expect(klProbabilities.kl?.value).toBeGreaterThan(0);
  });

  test('accuracy is the share of labels with the highest score', async () => {
    const found = await measure(classifier('y = MatMul(x, w)'), labelled, ['accuracy', 'accuracy-top5']);
    expect(found.accuracy).toMatchObject({ value: 0.75, count: 4, better: 'higher' });
    expect(found.accuracy?.interval).toBeCloseTo(1.959964 * Math.sqrt((0.75 * 0.25) / 3), 6);
    expect(found['accuracy-top5']?.value).toBe(1);
  });

  test('a single chance agrees when it is on the same side of one half', async () => {
    const chance = (shift: number): Program =>
      parseProgram(
        `program opset=21\ngraph main(x: float32[batch, 2]) -> (y: float32[batch, 1]) {
  s: float32[1] = [${shift}]
  z = ReduceSum(x, axes, keepdims=1)
  axes: int64[1] = [1]
  t = Add(z, s)
  y = Sigmoid(t)
}`.replace(
          '  z = ReduceSum(x, axes, keepdims=1)\n  axes: int64[1] = [1]',
          '  axes: int64[1] = [1]\n  z = ReduceSum(x, axes, keepdims=1)',
        ),
      );
    const found = await measure(chance(0), labelled, ['agreement', 'kl'], chance(3.5));
    expect(found.agreement).toMatchObject({ value: 0.5, count: 4 });
    expect(found.kl?.value).toBeGreaterThan(0);
  });

  test('encoders are compared by the mean over their tokens', async () => {
    const encoder = (order: string): Program =>
      parseProgram(`program opset=21\ngraph main(input_ids: int64[batch, sequence]) -> (last_hidden_state: float32[batch, sequence, 4]) {
  w: float32[8, 4] = random(seed=1)
  p: int64[1] = [${order}]
  e = Gather(w, input_ids)
  q: float32[1, 1, 1] = [[[2]]]
  last_hidden_state = Mul(e, q)
}`);
    const found = await measure(encoder('0'), windows, ['cosine', 'neighbours'], encoder('1'));
    expect(found.cosine?.value).toBeCloseTo(1, 6);
    expect(found.neighbours).toMatchObject({ value: 1, count: 3 });
  });

  test('steps of sequences are compared one by one, with the state that each model carries itself', async () => {
    const counter = (step: number): Program =>
      parseProgram(`program opset=21\ngraph main(x: float32[1, 2], s: float32[1, 2]) -> (y: float32[1, 2], t: float32[1, 2]) {
  c: float32[1] = [${step}]
  d = Add(s, c)
  t = Identity(d)
  y = Add(x, d)
}`);
    const zero = floatArray([1, 2], new Float32Array(2));
    const steps = Array.from({ length: 3 }, () => new Map([['x', zero]]));
    const sequence: Sample = { kind: 'sequence', steps, initial: new Map([['s', zero]]), carry: new Map([['t', 's']]) };
    // Outputs are 1, 2, 3 and 2, 4, 6: the error has a quarter of the reference's energy.
    const found = await measure(counter(1), [sequence], ['snr'], counter(2));
    expect(found.snr).toMatchObject({ value: expect.closeTo(10 * Math.log10(4), 9), count: 6 });
  });

  test('metrics of the model itself need no runs of the data', async () => {
    const found = await measure(bigram(1), windows, ['size', 'latency']);
    expect(found.size).toMatchObject({ value: 256, unit: 'bytes' });
    expect(found.latency?.value).toBeGreaterThan(0);
    expect(found.latency?.count).toBeGreaterThanOrEqual(10);
  });

  test('what cannot be measured is said, not left out', async () => {
    const unlabelled: Sample = { kind: 'arrays', arrays: new Map([['', floatArray([1, 2], Float32Array.of(1, 2))]]) };
    const model = classifier('y = MatMul(x, w)');
    await expect(measure(model, [unlabelled], ['accuracy'])).rejects.toMatchObject({
      code: 'data',
      hint: expect.stringContaining('labelled'),
    });
    await expect(measure(model, labelled, ['kl'])).rejects.toMatchObject({ code: 'usage' });
    await expect(measure(model, labelled, ['perplexty'])).rejects.toThrow(/no metric "perplexty"/);
    const wider = parseProgram(
      'program opset=21\ngraph main(x: float32[batch, 2]) -> (y) {\n w: float32[2, 4] = ones\n y = MatMul(x, w)\n}',
    );
    await expect(measure(model, labelled, ['snr'], wider)).rejects.toMatchObject({ code: 'mismatch' });
  });

  test('outputs that are not numbers are no measurement', async () => {
    const broken = classifier('z = MatMul(x, w)\n  v = Log(z)\n  y = Sqrt(v)');
    await expect(measure(broken, labelled, ['snr'], classifier('y = MatMul(x, w)'))).rejects.toMatchObject({
      code: 'numeric',
    });
    await expect(measure(broken, labelled, ['accuracy'])).rejects.toMatchObject({ code: 'numeric' });
  });

  test('token ids beyond the vocabulary and arrays of another shape are refused, naming the sample', async () => {
    await expect(measure(bigram(1), [tokens([1, 2]), tokens([3, 99])], ['nll'])).rejects.toMatchObject({
      code: 'data',
      message: expect.stringMatching(/sample 1 of test data.*99 at position 1.*8/),
    });
    const wrong: Sample = {
      kind: 'arrays',
      arrays: new Map([['', arrayOfNumbers('float32', [1, 3], [1, 2, 3])]]),
      label: 0,
    };
    await expect(measure(classifier('y = MatMul(x, w)'), [wrong], ['accuracy'])).rejects.toMatchObject({
      code: 'mismatch',
      message: expect.stringMatching(/\[1, 3\].*x: float32 \[batch, 2\]/),
    });
  });

  test('metrics chosen by default suit model and data', async () => {
    expect(await defaultMetrics(bigram(1), datasetOf(windows))).toContain('perplexity');
    expect(await defaultMetrics(classifier('y = MatMul(x, w)'), datasetOf(labelled))).toContain('accuracy');
    const names = table.map((metric) => metric.name);
    expect(new Set(names).size).toBe(names.length);
  });
});
