import { expect, test } from 'vitest';
import { compactGraph } from '../../../src/artifact/formats/onnx/lower/compact.ts';
import { readOnnx } from '../../../src/artifact/formats/onnx/read.ts';
import { encodeProgram } from '../../../src/artifact/formats/onnx/write.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { verify } from '../../../src/ir/verify.ts';
import { nodesWithin } from '../../../src/ir/walk.ts';
import { buildGolden, openGolden, runProgram as runGolden } from '../../families/golden.ts';
import { sharedData } from '../../shared.ts';
import { largestDifference, normalArray, runProgram } from './run.ts';

const compacted = (program: Program): Program => {
  const copy = cloneProgram(program);
  compactGraph(copy);
  expect(verify(copy)).toEqual([]);
  return copy;
};

const outside = ({ graph }: Program): string[] =>
  [...graph.inputs, ...graph.outputs, ...graph.initializers].map(({ name }) => name);

test('bodies that read values of enclosing graphs still read the same ones', async () => {
  // An input and a weight have names that the short ones begin with.
  const program = parseProgram(`program opset=21
    graph main(0: float32[3], flag: bool) -> (y: float32[3]) {
      1: float32[3] = [1, 2, 3]
      a = Add(0, 1) { name: "the sum" }
      b = Relu(a)
      y = If(flag, then_branch=graph t() -> (p) { q = Mul(a, b) p = Neg(q) }, else_branch=graph e() -> (p) { p = Add(b, 1) })
    }`);
  const made = compacted(program);
  expect(outside(made)).toEqual(outside(program));
  expect([...nodesWithin(made.graph)].every(({ name }) => name === '')).toBe(true);
  for (const flag of [0, 1]) {
    const feeds = {
      0: normalArray([3], 1),
      flag: { dtype: 'bool' as const, shape: [], data: Uint8Array.of(flag) },
    };
    expect(largestDifference(await runProgram(made, feeds), await runProgram(program, feeds))).toBe(0);
  }
});

test('a language model computes the same from a file with shorter names', async () => {
  const golden = openGolden('llama');
  const program = buildGolden(golden);
  const made = compacted(program);
  expect(outside(made)).toEqual(outside(program));
  expect(encodeProgram(made).byteLength).toBeLessThan(encodeProgram(program).byteLength - 10_000);
  const [before, after] = [await runGolden(program, golden.arrays), await runGolden(made, golden.arrays)];
  expect(largestDifference(before, after)).toBe(0);
});

const silero = sharedData('audio-silero-vad', 'silero_vad.onnx');
test.skipIf(!silero)(
  'a foreign graph with bodies is written and read again (needs ../shared/data/audio-silero-vad)',
  async () => {
    const program = readOnnx(silero!);
    const made = compacted(program);
    expect(outside(made)).toEqual(outside(program));
    expect(encodeProgram(made).byteLength).toBeLessThan(encodeProgram(program).byteLength);
  },
);
