import { describe, expect, test } from 'vitest';
import { findSites } from '../../../../src/analysis/sites.ts';
import type { Value } from '../../../../src/ir/graph.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { planQdq } from '../../../../src/stages/quantize/activations/qdq/plan.ts';

const conv = (name: string, input: string, outputs = 4, inputs = 4): string => `
  ${name}.w: float32[${outputs}, ${inputs}, 1, 1] = random(seed=1)
  ${name} = Conv(${input}, ${name}.w)`;

const planOf = (body: string, output: string, head: 'float' | 'quantized' = 'float') => {
  const program = parseProgram(`program opset=13
graph main(x: float32[1, 4, 8, 8]) -> (${output}) {
${body}
}`);
  const plan = planQdq(program, findSites(program), { head });
  const named = (value: Value): string => value.name;
  return {
    quantized: [...plan.grids.keys()].map(named),
    integerNodes: [...plan.integerNodes].map((node) => node.op),
    shared: (a: string, b: string): boolean => {
      const root = (name: string) => [...plan.grids].find(([value]) => value.name === name)?.[1];
      return root(a) !== undefined && root(a) === root(b);
    },
    clamps: [...plan.clamps.keys()].map(named),
  };
};

describe('what becomes integers', () => {
  test('is the input and the output of a convolution', () => {
    expect(planOf(conv('y', 'x'), 'y').quantized).toEqual(['x', 'y']);
  });

  test('is the result of the Relu behind a convolution, not what it reads', () => {
    const plan = planOf(`${conv('a', 'x')}\n r = Relu(a)\n${conv('y', 'r')}`, 'y');
    expect(plan.quantized).toEqual(['x', 'r', 'y']);
    expect(plan.clamps).toEqual(['r']);
  });

  test('is the convolution result itself where something else reads it beside the Relu', () => {
    const plan = planOf(`${conv('a', 'x')}\n r = Relu(a)\n s = Add(a, r)\n${conv('y', 's')}`, 'y');
    expect(plan.quantized).toEqual(['x', 'a', 'r', 's', 'y']);
    expect(plan.clamps).toEqual([]);
  });

  test('is a residual sum between convolutions', () => {
    const plan = planOf(`${conv('a', 'x')}\n${conv('b', 'a')}\n s = Add(a, b)\n r = Relu(s)\n${conv('y', 'r')}`, 'y');
    expect(plan.integerNodes).toEqual(['Add']);
    expect(plan.quantized).toEqual(['x', 'a', 'b', 'r', 'y']);
  });

  test('is no arithmetic whose other operand is floating-point', () => {
    const plan = planOf(`${conv('a', 'x')}\n e = Exp(a)\n s = Add(a, e)\n${conv('y', 's')}`, 'y');
    expect(plan.integerNodes).toEqual([]);
    expect(plan.quantized).toEqual(['x', 'a', 's', 'y']);
  });

  test('is no matrix product result that only floating-point operators read', () => {
    const plan = planOf(
      `w: float32[8, 8] = random(seed=1)
 p = MatMul(x, w)
 e = Erf(p)
 y = MatMul(e, w)`,
      'y',
    );
    expect(plan.quantized).toEqual(['x', 'e']);
  });

  test('is no arithmetic on results of matrix products, which come as floats at no cost', () => {
    const plan = planOf(
      `w: float32[8, 8] = random(seed=1)
 p = MatMul(x, w)
 s = Sigmoid(p)
 y = MatMul(s, w)`,
      'y',
    );
    expect(plan.quantized).toEqual(['x', 's']);
  });

  test('is arithmetic on a matrix product result that a product reads too', () => {
    const plan = planOf(
      `w: float32[8, 8] = random(seed=1)
 p = MatMul(x, w)
 q = MatMul(p, w)
 s = Sigmoid(p)
 t = MatMul(s, w)
 y = Sub(q, t)`,
      'y',
    );
    expect(plan.quantized).toEqual(['x', 'p', 's']);
    expect(plan.integerNodes).toEqual(['Sigmoid']);
  });

  test('is no product of two activations', () => {
    expect(planOf('t = Transpose(x, perm=[0, 1, 3, 2])\n y = MatMul(x, t)', 'y').quantized).toEqual([]);
  });
});

describe('the head, after the last weight product', () => {
  const body = `${conv('a', 'x')}\n p = GlobalAveragePool(a)\n k: float32[1] = [2]\n y = Mul(p, k)`;

  test('stays in floating point', () => {
    expect(planOf(body, 'y').integerNodes).toEqual([]);
  });

  test('becomes integers when asked for', () => {
    expect(planOf(body, 'y', 'quantized').integerNodes).toEqual(['GlobalAveragePool', 'Mul']);
  });

  test('is no head where a product follows on one side and the result leaves on the other', () => {
    const plan = planOf(`${conv('a', 'x')}\n p = AveragePool(a, kernel_shape=[2, 2])\n${conv('y', 'p')}`, 'y, p');
    expect(plan.integerNodes).toEqual([]);
  });
});

describe('values that share a grid', () => {
  test('are both sides of operators that only move values', () => {
    const plan = planOf(
      `${conv('a', 'x')}
 m = MaxPool(a, kernel_shape=[2, 2])
 t = Transpose(m, perm=[0, 1, 3, 2])
 pads: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
 p = Pad(t, pads)
${conv('y', 'p')}`,
      'y',
    );
    expect(plan.shared('a', 'm') && plan.shared('m', 't') && plan.shared('t', 'p')).toBe(true);
    expect(plan.shared('p', 'y')).toBe(false);
  });

  test('are the inputs of a Concat that nothing else reads, and its result', () => {
    const plan = planOf(
      `${conv('a', 'x')}\n${conv('b', 'x')}\n c = Concat(a, b, axis=1)\n${conv('y', 'c', 4, 8)}`,
      'y',
    );
    expect(plan.shared('a', 'c') && plan.shared('b', 'c')).toBe(true);
  });

  test('are not the input of a Concat that goes elsewhere too', () => {
    const plan = planOf(
      `${conv('a', 'x')}\n${conv('b', 'a')}\n c = Concat(a, b, axis=1)\n${conv('y', 'c', 4, 8)}`,
      'y',
    );
    expect(plan.shared('a', 'c')).toBe(false);
    expect(plan.shared('b', 'c')).toBe(true);
  });

  test('are no values that padding with something else than zero makes', () => {
    const plan = planOf(
      `${conv('a', 'x')}
 pads: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
 v: float32[] = 7
 p = Pad(a, pads, v)
${conv('y', 'p')}`,
      'y',
    );
    expect(plan.integerNodes).toEqual([]);
  });

  test('are no values between which cubic interpolation overshoots', () => {
    const resized = (mode: string) =>
      planOf(
        `${conv('a', 'x')}
 scales: float32[4] = [1, 1, 2, 2]
 p = Resize(a, _, scales, mode="${mode}")
${conv('y', 'p')}`,
        'y',
      ).integerNodes;
    expect(resized('linear')).toEqual(['Resize']);
    expect(resized('cubic')).toEqual([]);
  });
});

test('integer arithmetic on shapes is left alone', () => {
  const plan = planOf(
    `${conv('a', 'x')}
 s = Shape(a)
 two: int64[1] = [2]
 i: int64[] = 0
 d = Gather(s, i)
 e = Mul(d, two)
 y = Mul(a, a)`,
    'y, e',
  );
  expect(plan.integerNodes).toEqual([]);
});
