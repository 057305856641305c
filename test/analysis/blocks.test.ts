import { describe, expect, test } from 'vitest';
import { findBlocks } from '../../src/analysis/blocks.ts';
import { findSites } from '../../src/analysis/sites.ts';
import { readOnnx } from '../../src/artifact/formats/onnx/read.ts';
import type { Program } from '../../src/ir/graph.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { sharedData } from '../shared.ts';

const weight = (name: string): string => `${name}: float32[8, 8] = random(seed=1)`;

/** Two residual blocks of two products each; the mask is used by both. */
const residual = `program opset=21
graph main(x: float32[batch, 8]) -> (y: float32[batch, 8]) {
  ${['a', 'b', 'c', 'd', 'e'].map(weight).join('\n  ')}
  one: float32[1] = [1]
  mask = Greater(x, one)
  scale = Cast(mask, to=1)
  h = MatMul(x, e)
  p = MatMul(h, a)
  q = Relu(p)
  r = MatMul(q, b)
  s = Mul(r, scale)
  t = Add(h, s)
  u = MatMul(t, c)
  v = Relu(u)
  w = MatMul(v, d)
  z = Mul(w, scale)
  y = Add(t, z)
}`;

const namesOf = (program: Program) =>
  findBlocks(program).map((block) => ({
    name: block.name,
    sites: block.sites.map((site) => site.weight.name),
    inputs: block.inputs.map((value) => value.name),
    outputs: block.outputs.map((value) => value.name),
  }));

describe('blocks of a graph without numbers', () => {
  test('hold whole residual branches; what needs no product is computed in each', () => {
    expect(namesOf(parseProgram(residual))).toEqual([
      { name: 'segment 0', sites: ['e'], inputs: ['x'], outputs: ['h'] },
      { name: 'segment 1', sites: ['a', 'b'], inputs: ['x', 'h'], outputs: ['t'] },
      { name: 'segment 2', sites: ['c', 'd'], inputs: ['x', 't'], outputs: ['y'] },
    ]);
  });

  test('cut a chain as late as possible before the next product', () => {
    const chain = `program opset=21
graph main(x: float32[1, 8]) -> (y: float32[1, 8]) {
  ${['a', 'b'].map(weight).join('\n  ')}
  p = MatMul(x, a)
  q = Relu(p)
  r = Neg(q)
  s = MatMul(r, b)
  y = Relu(s)
}`;
    expect(namesOf(parseProgram(chain)).map((block) => block.outputs)).toEqual([['r'], ['y']]);
  });

  test('let shapes of activations cross without counting as activations', () => {
    const shapes = `program opset=21
graph main(x: float32[batch, 8]) -> (y: float32[batch, 8]) {
  ${['a', 'b'].map(weight).join('\n  ')}
  p = MatMul(x, a)
  shape = Shape(p)
  q = Relu(p)
  r = MatMul(q, b)
  y = Reshape(r, shape)
}`;
    expect(namesOf(parseProgram(shapes))).toMatchObject([
      { sites: ['a'], outputs: ['q', 'shape'] },
      { sites: ['b'], inputs: ['q', 'shape'] },
    ]);
  });
});

describe('blocks with numbers', () => {
  const numbered = `program opset=21
graph main(x: float32[1, 8]) -> (y: float32[1, 8]) {
  ${['a', 'b', 'c', 'd'].map(weight).join('\n  ')}
  h = MatMul(x, a)
  p = MatMul(h, b) { block: "0" }
  q = Add(p, h) { block: "0" }
  r = MatMul(q, c) { block: "1" }
  s = Add(r, q) { block: "1" }
  t = Relu(s)
  y = MatMul(t, d)
}`;

  test('are those of the family, with what comes before and after in blocks of their own', () => {
    expect(namesOf(parseProgram(numbered))).toEqual([
      { name: 'input', sites: ['a'], inputs: ['x'], outputs: ['h'] },
      { name: 'block 0', sites: ['b'], inputs: ['h'], outputs: ['q'] },
      { name: 'block 1', sites: ['c'], inputs: ['q'], outputs: ['s'] },
      { name: 'output', sites: ['d'], inputs: ['s'], outputs: ['y'] },
    ]);
  });

  test('are detected instead when the numbers run against the flow', () => {
    const backwards = numbered.replace('block: "1"', 'block: "-1"').replace('block: "1"', 'block: "-1"');
    expect(namesOf(parseProgram(backwards)).map((block) => block.name)).not.toContain('block 0');
  });
});

describe.skipIf(!sharedData('README.md'))('blocks of the shared models (needs ../shared/data)', () => {
  test.each([
    ['llm-stories260k/model.onnx', 12],
    ['llm-babyllama-tok105/model.onnx', 12],
    ['vision-cifar10-resnet/resnet20_cifar10.onnx', 11],
    ['vision-squeezenet-imagenet/squeezenet1.1_fp32.onnx', 18],
    ['vision-mnist/mnist.onnx', 2],
    ['detect-ultraface/version-RFB-320.onnx', undefined],
    ['audio-silero-vad/silero_vad.onnx', undefined],
    ['audio-silero-vad/silero_vad_16k_op15.onnx', undefined],
    ['vision-style-transfer/candy.onnx', undefined],
  ])('%s: every site is in exactly one block', (path, count) => {
    const program = readOnnx(sharedData(path)!);
    const blocks = findBlocks(program);
    const inBlocks = blocks.flatMap((block) => block.sites.map((site) => site.name));
    expect(inBlocks.toSorted()).toEqual(
      findSites(program)
        .map((site) => site.name)
        .toSorted(),
    );
    if (count !== undefined) expect(blocks).toHaveLength(count);
    for (const block of blocks) expect(block.sites.length).toBeGreaterThan(0);
  });
});
