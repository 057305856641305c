import { describe, expect, it, test } from 'vitest';
import { findSites } from '../../src/analysis/sites.ts';
import { openModel } from '../../src/artifact/open.ts';
import { appendGradients } from '../../src/autodiff/gradient.ts';
import { checkRules, nodesBetween } from '../../src/autodiff/path.ts';
import { prepareForGradients } from '../../src/autodiff/prepare.ts';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { arrayOfNumbers } from '../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { withSession } from '../../src/execution/session.ts';
import { OperatorBuilder } from '../../src/ir/build.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import { removeDead } from '../../src/ir/edit/remove-dead.ts';
import { intAttribute, type Program, type Value } from '../../src/ir/graph.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { tensorOf } from '../../src/ir/read.ts';
import { tensorType } from '../../src/ir/shape.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';
import { sharedData } from '../shared.ts';

const norm = (body: string): Program =>
  parseProgram(`program opset=17
graph main(x: float32[b, t, 8]) -> (y) {
  g: float32[8] = random(seed=1)
  s: float32[8] = random(seed=2)
  two: float32 = 2
  one: float32 = 1
  e: float32 = 0.001
${body}
}`);

const centred = 'm = ReduceMean(x, axes=[-1])\nc = Sub(x, m)';

describe('what is written out becomes one operator', () => {
  test.each([
    ['x σ(x)', 'v = Sigmoid(x)\ny = Mul(v, x)', 'QuickGelu'],
    [
      'RMSNorm by Pow and Div',
      'p = Pow(x, two)\nm = ReduceMean(p, axes=[-1])\na = Add(m, e)\nr = Sqrt(a)\nn = Div(x, r)\ny = Mul(n, g)',
      'SimplifiedLayerNormalization',
    ],
    [
      'RMSNorm by Mul and Reciprocal',
      'p = Mul(x, x)\nm = ReduceMean(p, axes=[2])\na = Add(m, e)\nr = Sqrt(a)\nq = Reciprocal(r)\nn = Mul(x, q)\ny = Mul(g, n)',
      'SimplifiedLayerNormalization',
    ],
    [
      'RMSNorm by one over the root',
      'p = Pow(x, two)\nm = ReduceMean(p, axes=[-1])\na = Add(m, e)\nr = Sqrt(a)\nq = Div(one, r)\nn = Mul(x, q)\ny = Mul(g, n)',
      'SimplifiedLayerNormalization',
    ],
    [
      'LayerNorm',
      `${centred}\np = Pow(c, two)\nv = ReduceMean(p, axes=[-1])\na = Add(v, e)\nr = Sqrt(a)\nn = Div(c, r)\nh = Mul(n, g)\ny = Add(h, s)`,
      'LayerNormalization',
    ],
  ])('%s', async (_name, body, op) => {
    const program = norm(body);
    const prepared = cloneProgram(program);
    prepareForGradients(prepared);
    expect(prepared.graph.nodes.map((node) => node.op)).toEqual([op]);
    const random = new Random(1, 'x');
    const x = arrayOfNumbers(
      'float32',
      [2, 3, 8],
      Float32Array.from({ length: 48 }, () => random.normal()),
    );
    const [wanted, found] = await Promise.all(
      [program, prepared].map((one) =>
        withSession(
          onnxruntimeEngine,
          one,
          { optimization: 'none' },
          async (session) => (await session.run(new Map([['x', x]]))).get('y')!,
        ),
      ),
    );
    wanted!.data.forEach((number: number | bigint, index: number) => {
      expect(Number(found!.data[index])).toBeCloseTo(Number(number), 5);
    });
  });

  test.each([
    [
      'over another axis',
      'p = Pow(x, two)\nm = ReduceMean(p, axes=[1])\na = Add(m, e)\nr = Sqrt(a)\nn = Div(x, r)\ny = Mul(n, g)',
    ],
    [
      'with a cube',
      'three: float32 = 3\np = Pow(x, three)\nm = ReduceMean(p, axes=[-1])\na = Add(m, e)\nr = Sqrt(a)\nn = Div(x, r)\ny = Mul(n, g)',
    ],
    [
      'whose root is read elsewhere',
      'p = Pow(x, two)\nm = ReduceMean(p, axes=[-1])\na = Add(m, e)\nr = Sqrt(a)\nn = Div(x, r)\nh = Mul(n, g)\ny = Add(h, r)',
    ],
  ])('but not one %s', (_name, body) => {
    const program = norm(body);
    const before = program.graph.nodes.length;
    prepareForGradients(program);
    expect(program.graph.nodes.length).toBe(before);
  });
});

test('values that were known before are computed after operators were put together and taken apart', () => {
  const program = parseProgram(`program opset=17 com.microsoft=1
graph main(x: float32[2, 8]) -> (y) {
  g: float32[8] = random(seed=1)
  e: float32 = 0.001
  h, _, _, sum = com.microsoft::SkipSimplifiedLayerNormalization(x, x, g)
  p = Mul(h, h)
  m = ReduceMean(p, axes=[-1])
  a = Add(m, e)
  r = Sqrt(a)
  n = Div(h, r)
  k = Mul(n, g)
  s = Sigmoid(k)
  w = Mul(k, s)
  y = Add(w, sum)
}`);
  const { graph } = program;
  const known = ['h', 'sum', 'k', 'w', 'y'].map(
    (name) => graph.nodes.flatMap((node) => node.outputs).find((value) => value?.name === name)!,
  );
  prepareForGradients(program);
  expect(graph.nodes.map((node) => node.op)).not.toContain('SkipSimplifiedLayerNormalization');
  expect(known.map((value) => graph.nodes.includes(value.producer!))).toEqual(known.map(() => true));
  expect(graph.outputs).toEqual([known.at(-1)]);
});

test('a value for an input that the model does not have is refused', () => {
  const program = norm('y = Mul(x, g)');
  expect(() => prepareForGradients(program, { fixedInputs: new Map([['sr', tensorOf('int64', [], [1])]]) })).toThrow(
    '"sr", which is no input of the model',
  );
});

test('a recurrent layer without a known number of steps says what it needs', () => {
  const program = parseProgram(`program opset=21
graph main(x: float32[t, 2, 3]) -> (y) {
  w: float32[1, 8, 3] = random(seed=1)
  r: float32[1, 8, 2] = random(seed=2)
  y = LSTM(x, w, r, hidden_size=2)
}`);
  expect(() => prepareForGradients(cloneProgram(program))).toThrow('LSTM has an unknown number of steps');
  expect(() => prepareForGradients(program, { inputShapes: new Map([['x', [4, 2, 3]]]) })).not.toThrow();
});

/** Two nodes that compute the same thing of the same values. */
const duplicates = (program: Program): string[] => {
  const classes = new Map<string, number>();
  const classOf = new Map<Value, string>();
  const found: string[] = [];
  for (const node of program.graph.nodes) {
    const attributes = [...node.attributes].map(([name, attribute]) => `${name}=${JSON.stringify(attribute)}`).sort();
    const inputs = node.inputs.map((value) => (value ? (classOf.get(value) ?? value.name) : ''));
    const key = [node.op, ...inputs, ...attributes].join('|');
    const known = classes.get(key);
    if (known !== undefined) found.push(node.name);
    const number = known ?? classes.size;
    classes.set(key, number);
    node.outputs.forEach((output, index) => {
      if (output) classOf.set(output, `#${number}.${index}`);
    });
  }
  return found;
};

describe('the gradient graph of a language model', () => {
  const folder = sharedData('llm-babyllama-tok105');
  it.skipIf(!folder)('has no dead and no duplicated node (needs ../shared/data)', async () => {
    const { program } = await openModel(folder!);
    prepareForGradients(program);
    const { graph } = program;
    const build = new OperatorBuilder(graph, 'loss');
    const scores = build.call('ReduceLogSumExp', [graph.outputs[0]!, build.integers([-1])]);
    const loss = build.typed(
      build.call('ReduceMean', [scores], { keepdims: intAttribute(0) }),
      tensorType('float32', []),
    );
    inferShapes(program);
    const of = [...new Set(findSites(program).map((site) => site.weight))];
    const { byValue } = appendGradients({ graph, loss, of });
    graph.outputs.splice(0, 1, loss, ...byValue.values());
    expect(byValue.size).toBe(of.length);
    expect(duplicates(program)).toEqual([]);
    expect(removeDead(graph).nodes).toBe(0);
  });
});

describe('models that need preparation', () => {
  const silero = sharedData('audio-silero-vad', 'silero_vad.onnx');
  it.skipIf(!silero)(
    'a branch by sampling rate and an LSTM within give the same and have gradients (needs ../shared/data)',
    async () => {
      const { program } = await openModel(silero!);
      const prepared = cloneProgram(program);
      prepareForGradients(prepared, {
        inputShapes: new Map([
          ['input', [1, 576]],
          ['state', [2, 1, 128]],
        ]),
        fixedInputs: new Map([['sr', tensorOf('int64', [], [16000])]]),
      });
      const { graph } = prepared;
      const of = findSites(prepared).map((site) => site.weight);
      expect(of.length).toBeGreaterThan(5);
      expect(() => checkRules(nodesBetween(graph, of, graph.outputs))).not.toThrow();
      const random = new Random(2, 'sound');
      const feeds = new Map<string, NumericArray>([
        [
          'input',
          arrayOfNumbers(
            'float32',
            [1, 576],
            Float32Array.from({ length: 576 }, () => 0.1 * random.normal()),
          ),
        ],
        ['state', arrayOfNumbers('float32', [2, 1, 128], new Float32Array(256))],
        ['sr', arrayOfNumbers('int64', [], [16000])],
      ]);
      const [wanted, found] = await Promise.all(
        [program, prepared].map((one) =>
          withSession(onnxruntimeEngine, one, {}, (session) =>
            session.run(new Map([...feeds].filter(([name]) => session.inputNames.includes(name)))),
          ),
        ),
      );
      for (const [name, array] of wanted!)
        array.data.forEach((number: number | bigint, index: number) => {
          expect(Number(found!.get(name)!.data[index])).toBeCloseTo(Number(number), 4);
        });
    },
  );

  const candy = sharedData('vision-style-transfer', 'candy.onnx');
  it.skipIf(!candy)('operators of an experimental set are taken apart (needs ../shared/data)', async () => {
    const { program } = await openModel(candy!);
    prepareForGradients(program);
    const { graph } = program;
    const of = findSites(program).map((site) => site.weight);
    expect(of.length).toBeGreaterThan(10);
    expect(() => checkRules(nodesBetween(graph, of, graph.outputs))).not.toThrow();
  });
});
