import { describe, expect, test } from 'vitest';
import { findSites } from '../../src/analysis/sites.ts';
import { findSteps, siteLevels } from '../../src/analysis/steps.ts';
import { readOnnx } from '../../src/artifact/formats/onnx/read.ts';
import type { Program } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { sharedData } from '../shared.ts';

const weights = (names: readonly string[]): string =>
  names.map((name) => `${name}: float32[8, 8] = random(seed=1)`).join('\n  ');

/** q and k read one input, o what they make, and a branch beside them joins at the end. */
const attention = `program opset=21
graph main(x: float32[batch, 8]) -> (y: float32[batch, 8]) {
  ${weights(['q', 'k', 'o', 'side'])}
  a = MatMul(x, q)
  b = MatMul(x, k)
  s = MatMul(x, side)
  c = Mul(a, b)
  d = MatMul(c, o)
  y = Add(d, s)
}`;

const shapesOf = (program: Program) =>
  findSteps(program).map(({ sites, inputs, outputs }) => ({
    sites: sites.map((site) => site.weight.name),
    inputs: inputs.map((value) => value.name),
    outputs: outputs.map((value) => value.name),
  }));

describe('steps of a program', () => {
  test('begin with the products of inputs that are there, those of one level together', () => {
    expect(shapesOf(parseProgram(attention))).toEqual([
      { sites: ['q', 'k', 'side'], inputs: ['x'], outputs: ['c', 's'] },
      { sites: ['o'], inputs: ['c', 's'], outputs: ['y'] },
    ]);
  });

  test('levels count the products on the longest way', () => {
    const program = parseProgram(attention);
    const levels = siteLevels(program);
    expect(findSites(program).map((site) => [site.weight.name, levels.get(site.node)])).toEqual([
      ['q', 1],
      ['k', 1],
      ['side', 1],
      ['o', 2],
    ]);
  });

  test('hold all products of a constant that one block reads several times', () => {
    const program = parseProgram(`program opset=21
graph main(x: float32[batch, 8]) -> (y: float32[batch, 8]) {
  ${weights(['w', 'v', 'u'])}
  a = MatMul(x, w) { block: "0" }
  b = MatMul(a, v) { block: "0" }
  c = MatMul(b, w) { block: "0" }
  y = MatMul(c, u) { block: "1" }
}`);
    expect(shapesOf(program).map(({ sites }) => sites)).toEqual([['w', 'v', 'w'], ['u']]);
  });

  test
    .skipIf(!sharedData('README.md'))
    .each([
      'llm-stories260k/model.onnx',
      'vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx',
      'detect-ultraface/version-RFB-320.onnx',
      'audio-silero-vad/silero_vad_16k_op15.onnx',
    ])('%s: every site is in exactly one step, which reads nothing of a later one', (path) => {
    const program = readOnnx(sharedData(path)!);
    const steps = findSteps(program);
    const names = steps.flatMap(({ sites }) => sites.map(({ name }) => name));
    expect(names.toSorted()).toEqual(
      findSites(program)
        .map(({ name }) => name)
        .toSorted(),
    );
    const made = new Set(program.graph.inputs);
    for (const { inputs, outputs } of steps) {
      expect(inputs.filter((value) => !made.has(value)).map(({ name }) => name)).toEqual([]);
      for (const value of outputs) made.add(value);
    }
  });
});
