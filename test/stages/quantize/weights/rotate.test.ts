import { describe, expect, test } from 'vitest';
import { findSites } from '../../../../src/analysis/sites.ts';
import { cloneProgram } from '../../../../src/ir/clone.ts';
import { inferShapes } from '../../../../src/ir/inference/index.ts';
import { Random } from '../../../../src/random.ts';
import { rotateRows, rotationOf } from '../../../../src/stages/quantize/methods/hadamard.ts';
import { rotateInputs } from '../../../../src/stages/quantize/weights/rotate.ts';
import { runProgram } from '../../../artifact/lower/run.ts';
import { correlatedInputs, modelOf, packedOf, quantize } from './context.ts';

const dot = (x: Float32Array, y: Float32Array): number => x.reduce((sum, value, at) => sum + value * y[at]!, 0);

describe('rotations', () => {
  test.each([1, 2, 7, 12, 16, 60, 64, 176])('of %i numbers keep products of vectors', (size) => {
    const rotation = rotationOf(size, 3);
    expect(rotation.leftSize * rotation.rightSize).toBe(size);
    const random = new Random(size, 'vectors');
    const [x, y] = [random.normals(size), random.normals(size)];
    expect(dot(rotateRows(x, rotation), rotateRows(y, rotation))).toBeCloseTo(dot(x, y), 4);
  });

  test('spread a single number over all', () => {
    const one = new Float32Array(64);
    one[17] = 1;
    for (const value of rotateRows(one, rotationOf(64, 0))) expect(Math.abs(value)).toBeCloseTo(1 / 8, 6);
  });
});

/** A product that makes the input of the next, with a bias, and one after something that is not linear. */
const network = () => {
  const model = modelOf(`program opset=17 graph m(x: float32[batch, 3, 24]) -> (y) {
    a: float32[24, 40] = random(seed=1) b: float32[40] = random(seed=2) c: float32[40, 20] = random(seed=3)
    d: float32[20, 12] = random(seed=4) e: float32[20, 12] = random(seed=5)
    h = MatMul(x, a) { name: "first" } i = Add(h, b) j = MatMul(i, c) { name: "second" } k = Tanh(j)
    l = MatMul(k, d) { name: "left" } m = MatMul(k, e) { name: "right" } y = Mul(l, m) }`);
  inferShapes(model.program);
  return model;
};

describe('rotated inputs of products', () => {
  test('leave outputs as they are: folded where a product makes the input, computed otherwise', async () => {
    const { program } = network();
    const rotated = cloneProgram(program);
    const { findings, products } = rotateInputs(rotated, findSites(rotated), 1);
    expect(findings[0]?.text).toBe(
      'rotated 3 inputs of products: 1 folded into the product before, 2 computed while running',
    );
    expect(products).toHaveLength(2);
    const data = new Random(1, 'x').normals(2 * 3 * 24);
    const feeds = { x: { dtype: 'float32', shape: [2, 3, 24], data } as const };
    const [before, after] = [await runProgram(program, feeds), await runProgram(rotated, feeds)];
    const [y, z] = [before.get('y')!.data as Float32Array, after.get('y')!.data as Float32Array];
    const scale = Math.sqrt(dot(y, y) / y.length);
    z.forEach((value, at) => {
      expect(Math.abs(value - y[at]!)).toBeLessThan(1e-4 * scale);
    });
  });

  test('are rounded as any weight; the factors stay as they are', async () => {
    const options = { method: 'gptq', rotate: true, weights: { bits: 3, group_size: 'row' } };
    const { model, findings } = await quantize(network(), options, { calibration: correlatedInputs([2, 3, 24], 8) });
    expect([...packedOf(model).keys()].toSorted()).toEqual(['a', 'c', 'd', 'e']);
    expect(findings.map(({ kind }) => kind)).toEqual(['fact']);
  });
});
