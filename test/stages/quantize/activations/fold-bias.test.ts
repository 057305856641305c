import { describe, expect, test } from 'vitest';
import { cloneProgram } from '../../../../src/ir/clone.ts';
import { nameSource } from '../../../../src/ir/edit/names.ts';
import { inferShapes } from '../../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { foldBias } from '../../../../src/stages/quantize/activations/prepare/fold-bias.ts';
import { normalArray } from '../../../artifact/lower/run.ts';
import { relativeDifference } from './workbench.ts';

const cases = [
  {
    name: 'Conv + (C, 1, 1)',
    input: '1, 3, 4, 4',
    body: 'w: float32[5, 3, 1, 1] = random(seed=1)\n k: float32[5, 1, 1] = random(seed=2)\n c = Conv(x, w)\n y = Add(c, k)',
    folds: true,
  },
  {
    name: 'Conv with a bias + (1, C, 1, 1) on the left',
    input: '1, 3, 4, 4',
    body: 'w: float32[5, 3, 1, 1] = random(seed=1)\n b: float32[5] = random(seed=3)\n k: float32[1, 5, 1, 1] = random(seed=2)\n c = Conv(x, w, b)\n y = Add(k, c)',
    folds: true,
  },
  {
    name: 'Conv + scalar',
    input: '1, 3, 4, 4',
    body: 'w: float32[5, 3, 1, 1] = random(seed=1)\n k: float32[] = 2\n c = Conv(x, w)\n y = Add(c, k)',
    folds: true,
  },
  {
    name: 'ConvTranspose in groups + (C, 1, 1)',
    input: '1, 4, 4, 4',
    body: 'w: float32[4, 3, 2, 2] = random(seed=1)\n k: float32[6, 1, 1] = random(seed=2)\n c = ConvTranspose(x, w, group=2)\n y = Add(c, k)',
    folds: true,
  },
  {
    name: 'MatMul + (N)',
    input: '2, 4',
    body: 'w: float32[4, 5] = random(seed=1)\n k: float32[5] = random(seed=2)\n c = MatMul(x, w)\n y = Add(c, k)',
    folds: true,
  },
  {
    name: 'MatMul + (1, N)',
    input: '2, 4',
    body: 'w: float32[4, 5] = random(seed=1)\n k: float32[1, 5] = random(seed=2)\n c = MatMul(x, w)\n y = Add(c, k)',
    folds: true,
  },
  {
    name: 'MatMul of three axes',
    input: '2, 3, 4',
    body: 'w: float32[4, 5] = random(seed=1)\n k: float32[5] = random(seed=2)\n c = MatMul(x, w)\n y = Add(c, k)',
    folds: false,
  },
  {
    name: 'Conv + numbers that vary over space',
    input: '1, 3, 4, 4',
    body: 'w: float32[5, 3, 1, 1] = random(seed=1)\n k: float32[4, 4] = random(seed=2)\n c = Conv(x, w)\n y = Add(c, k)',
    folds: false,
  },
  {
    name: 'Conv whose result is read elsewhere',
    input: '1, 3, 4, 4',
    body: 'w: float32[5, 3, 1, 1] = random(seed=1)\n k: float32[5, 1, 1] = random(seed=2)\n c = Conv(x, w)\n d = Add(c, k)\n y = Mul(c, d)',
    folds: false,
  },
  {
    name: 'an Add of two constants’ worth of rows',
    input: '5, 4',
    body: 'w: float32[4, 5] = random(seed=1)\n k: float32[5, 1] = random(seed=2)\n c = MatMul(x, w)\n y = Add(c, k)',
    folds: false,
  },
];

describe.each(cases)('$name', ({ input, body, folds }) => {
  const program = parseProgram(`program opset=13\ngraph main(x: float32[${input}]) -> (y) {\n ${body}\n}`);

  test(folds ? 'becomes a bias' : 'stays', async () => {
    const copy = cloneProgram(program);
    inferShapes(copy);
    expect(foldBias(copy, nameSource(copy.graph))).toBe(folds ? 1 : 0);
    expect(copy.graph.nodes.some((node) => node.op === 'Add')).toBe(!folds);
    const feeds = { x: normalArray(input.split(', ').map(Number), 1) };
    expect(await relativeDifference(program, copy, feeds)).toBeLessThan(1e-6);
  });
});
