import { describe, expect, it } from 'vitest';
import { findChannelGroups } from '../../../src/analysis/channel-groups/groups.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { dropZeroStates } from '../../../src/ir/edit/drop-zero-states.ts';
import { readConstantsDirectly } from '../../../src/ir/edit/read-constants-directly.ts';
import { unshareVectors } from '../../../src/ir/edit/unshare-vectors.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { expectSameOutputs } from './equivalence.ts';

describe('unshareVectors', () => {
  const twoLayers = `program opset=21
graph g(x: float32[n, 6]) -> (y) {
  wa: float32[6, 6] = random(seed=1)
  wb: float32[6, 6] = random(seed=2)
  wc: float32[6, 4] = random(seed=3)
  bias: float32[6] = random(seed=4)
  a = Gemm(x, wa, bias) { name: "first" }
  r = Relu(a)
  b = Gemm(r, wb, bias) { name: "second" }
  s = Relu(b)
  y = Gemm(s, wc) { name: "third" }
}
`;

  it('changes no output, and lets layers with equal biases lose neurons apart from each other', async () => {
    const tied = parseProgram(twoLayers);
    inferShapes(tied);
    expect(findChannelGroups(tied).groups.map(({ producers }) => producers.length)).toEqual([2]);
    const { program } = await expectSameOutputs(twoLayers, unshareVectors);
    inferShapes(program);
    expect(findChannelGroups(program).groups.map(({ producers }) => producers.length)).toEqual([1, 1]);
  });

  it('leaves matrices, numbers, and what a body or an output reads', () => {
    const program = parseProgram(`program opset=21
graph g(x: float32[n, 6], c: bool[]) -> (y, z, bias) {
  w: float32[6, 6] = random(seed=1)
  bias: float32[6] = random(seed=2)
  inner: float32[6] = random(seed=3)
  one: float32[] = random(seed=4)
  p = MatMul(x, w)
  q = MatMul(p, w)
  r = Mul(q, one)
  s = Mul(r, one)
  t = Add(s, bias)
  y = Add(t, bias)
  z = If(c, then_branch=graph a() -> (m) { m = Neg(inner) }, else_branch=graph b() -> (k) { k = Exp(inner) })
}
`);
    expect(unshareVectors(program)).toBe(0);
  });
});

describe('readConstantsDirectly', () => {
  it('shows every layer that multiplies by a weight, and computes the same', async () => {
    const text = `program opset=17
graph g(x: float32[n, 6]) -> (y, copy) {
  w: float32[6, 6] = random(seed=1)
  again = Identity(w)
  copy = Identity(w)
  r = Relu(x)
  a = MatMul(r, w)
  b = Identity(a)
  y = MatMul(b, again)
}
`;
    const weights = (program: Program): string[] => findSites(program).map(({ weight }) => weight.name);
    expect(weights(parseProgram(text))).toEqual(['w']);
    const { program, ops } = await expectSameOutputs(text, readConstantsDirectly);
    expect(weights(program)).toEqual(['w', 'w']);
    expect(ops).toEqual(['Identity', 'Relu', 'MatMul', 'Identity', 'MatMul']);
  });
});

describe('dropZeroStates', () => {
  const recurrent = (fill: string, op: string): string => `program opset=17
graph g(x: float32[t, n, 3]) -> (y, last) {
  w: float32[1, 12, 3] = random(seed=1)
  r: float32[1, 12, 4] = random(seed=2)
  b: float32[1, 24] = random(seed=3)
  one: int64[1] = [1]
  four: int64[1] = [4]
  axis: int64[1] = [1]
  lengths = Shape(x)
  batch = Gather(lengths, axis)
  shape = Concat(one, batch, four, axis=0)
  state = ConstantOfShape(shape${fill})
  ${op}
}
`;
  const gru = 'y, last = GRU(x, w, r, b, _, state, hidden_size=4)';

  it('leaves out zeros that are computed from the batch size, and computes the same', async () => {
    const { ops } = await expectSameOutputs(recurrent('', gru), dropZeroStates);
    expect(ops).toEqual(['GRU']);
  });

  it('keeps states that are not zero', () => {
    expect(dropZeroStates(parseProgram(recurrent(', value=tensor(float32[1], [0.5])', gru)))).toBe(0);
  });
});
