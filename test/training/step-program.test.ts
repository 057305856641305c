import { describe, expect, it } from 'vitest';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { setConstant } from '../../src/ir/edit/replace.ts';
import { intAttribute, type Value } from '../../src/ir/graph.ts';
import { PackedTensor } from '../../src/ir/packed-tensor.ts';
import { readFloats } from '../../src/ir/read.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { packRows } from '../../src/kernels/index.ts';
import { Random } from '../../src/random.ts';
import { buildStepProgram, type StepRequest } from '../../src/training/step-program.ts';
import { plainWeight } from '../../src/training/weights/plain.ts';
import { quantizedWeight } from '../../src/training/weights/quantized.ts';
import type { TrainedWeight } from '../../src/training/weights/weight.ts';
import { arrayOf, randomFeeds, runProgram } from '../ir/run.ts';

const text = `program opset=17
graph g(x: float32[1, 3, 5, 5]) -> (y) {
  a: float32[4, 3, 3, 3] = packed(bits=4, group_size=16, layout="rows-first", zero_points=true, seed=1)
  b: float32[4, 6, 2, 2] = random(seed=2)
  c: float32[6, 8] = packed(bits=4, group_size=32, layout="rows-last", zero_points=false, seed=3)
  bias: float32[8] = random(seed=4)
  lost: float32[8] = random(seed=5)
  h = Conv(x, a)
  t = Tanh(h)
  u = ConvTranspose(t, b)
  m = GlobalAveragePool(u)
  f = Flatten(m)
  p = MatMul(f, c)
  y = Add(p, bias)
  z = Add(p, lost)
}
`;

const named = (program: ReturnType<typeof parseProgram>, name: string): Value =>
  [...program.graph.initializers].find((value) => value.name === name)!;

/** The form that a quantized ConvTranspose has, which text cannot say. */
const rowsSecond = (): PackedTensor => {
  const [rows, columns, groupSize] = [6, 16, 16];
  const random = new Random(2);
  return new PackedTensor({
    dtype: 'float32',
    shape: [4, rows, 2, 2],
    layout: 'rows-second',
    rows,
    columns,
    bits: 3,
    storedBits: 4,
    groupSize,
    codes: packRows({
      codes: Uint8Array.from({ length: rows * columns }, () => random.integer(8)),
      rows,
      columns,
      bits: 4,
    }),
    scales: Float32Array.from({ length: rows }, () => 0.1 + random.float()),
    zeroPoints: Uint8Array.from({ length: rows }, () => random.integer(8)),
    method: 'rtn',
  });
};

const weightOf = (value: Value): TrainedWeight => {
  const tensor = value.tensor!;
  if (tensor instanceof PackedTensor)
    return quantizedWeight(value.name, tensor, { scales: 'fixed', zeros: 'fixed', method: 'qad' });
  return plainWeight(value.name, tensor.shape as number[], readFloats(tensor).slice(), 'vector');
};

const setUp = (names: readonly string[], changes: Partial<StepRequest> = {}) => {
  const program = parseProgram(text);
  setConstant(named(program, 'b'), rowsSecond());
  const weights = new Map(names.map((name) => [named(program, name), weightOf(named(program, name))] as const));
  const request: StepRequest = {
    program,
    weights,
    extra: [],
    gradients: 'wanted',
    buildLoss: ({ build, inStep }) => [
      {
        name: 'squares',
        weight: 0.5,
        value: build.call('ReduceSumSquare', [inStep(program.graph.outputs[0]!)], { keepdims: intAttribute(0) }),
      },
    ],
    ...changes,
  };
  return { program, weights, request };
};

describe('a step program', () => {
  it('computes what the model computes, and gradients of weights in every layout', async () => {
    const { program, weights, request } = setUp(['a', 'b', 'c', 'bias']);
    const step = buildStepProgram(request);
    const data = randomFeeds(program, { x: [1, 3, 5, 5] });
    const leaves = new Map<TrainedWeight, Float32Array>();
    for (const weight of weights.values())
      leaves.set(weight, (await weight.leaf(weight.parameters.map(({ initial }) => initial))).slice());
    const run = (changed?: TrainedWeight, leaf?: Float32Array): Promise<Map<string, NumericArray>> => {
      const feeds = new Map(data);
      for (const [weight, own] of leaves)
        feeds.set(
          step.leaves.get(weight)!.input,
          arrayOf('float32', weight.leafShape, weight === changed ? leaf! : own),
        );
      return runProgram(step.program, feeds);
    };
    const outputs = await run();
    const plain = (await runProgram(program, data)).get('y')!;
    const squares = Array.from(plain.data, Number).reduce((sum, y) => sum + y * y, 0);
    expect(Number(outputs.get(step.loss)!.data[0])).toBeCloseTo(squares / 2, 4);
    expect(Number(outputs.get(step.parts[0]!.output)!.data[0])).toBeCloseTo(squares, 4);
    for (const [weight, leaf] of leaves) {
      const gradient = outputs.get(step.leaves.get(weight)!.gradient!)!;
      expect(gradient.shape).toEqual(weight.leafShape);
      for (const index of [0, 7, leaf.length - 1]) {
        const moved = async (by: number): Promise<number> =>
          Number((await run(weight, leaf.with(index, leaf[index]! + by))).get(step.loss)!.data[0]);
        const slope = ((await moved(0.02)) - (await moved(-0.02))) / 0.04;
        expect(Math.abs(Number(gradient.data[index]) - slope)).toBeLessThan(2e-3 * Math.max(1, Math.abs(slope)));
      }
    }
  });

  it('leaves the given program as it is', () => {
    const { program, request } = setUp(['a', 'bias']);
    const before = program.graph.nodes.length;
    buildStepProgram(request);
    expect(program.graph.nodes).toHaveLength(before);
    expect(program.graph.inputs).toHaveLength(1);
    expect(named(program, 'a').uses).toHaveLength(1);
  });

  it('refuses weights that do not reach the loss, by name', () => {
    expect(() => buildStepProgram(setUp(['a', 'lost']).request)).toThrow(/do not reach the loss: lost/);
  });

  it('refuses a loss that is no single number', () => {
    const { program, request } = setUp(['a']);
    const buildLoss: StepRequest['buildLoss'] = ({ inStep }) => [
      { name: 'whole output', weight: 1, value: inStep(program.graph.outputs[0]!) },
    ];
    expect(() => buildStepProgram({ ...request, buildLoss })).toThrow(
      /the loss whole output must be one number.*\[1, 8\]/,
    );
  });

  it('without gradients gives the loss alone', () => {
    const step = buildStepProgram({ ...setUp(['a', 'lost']).request, gradients: 'left-out' });
    expect(step.program.graph.outputs.map((value) => value.name)).toEqual([step.loss, step.parts[0]!.output]);
  });
});
