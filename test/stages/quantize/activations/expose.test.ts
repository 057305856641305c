import { expect, test } from 'vitest';
import type { NumericArray } from '../../../../src/calibration/dataset.ts';
import type { Value } from '../../../../src/ir/graph.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { graphsWithin } from '../../../../src/ir/walk.ts';
import { exposeValues } from '../../../../src/stages/quantize/activations/expose.ts';
import { runProgram } from '../../../artifact/lower/run.ts';

const program = parseProgram(`program opset=13
graph main(x: float32[2], first: bool[]) -> (y) {
 a = Neg(x)
 y = If(first,
   then_branch=graph t() -> (p) {
     h = Abs(a)
     p = If(first,
       then_branch=graph tt() -> (pp) { i = Neg(h) pp = Abs(i) },
       else_branch=graph te() -> (pe) { pe = Neg(h) })
   },
   else_branch=graph e() -> (q) { q = Exp(a) })
}`);

const valueNamed = (name: string): Value => {
  for (const graph of graphsWithin(program.graph))
    for (const node of graph.nodes) for (const value of node.outputs) if (value?.name === name) return value;
  throw new Error(name);
};

const feeds = (first: number): Record<string, NumericArray> => ({
  x: { dtype: 'float32', shape: [2], data: Float32Array.of(1, -2) },
  first: { dtype: 'bool', shape: [], data: Uint8Array.of(first) },
});

test('values of branches within branches reach the outside, empty where the branch is not taken', async () => {
  const wanted = ['a', 'h', 'i', 'p', 'q'].map(valueNamed);
  const exposed = exposeValues(program, [...wanted, ...wanted]);
  expect(exposed.hidden).toEqual([]);
  const copy = exposed.program;
  for (const place of exposed.places.values()) if (!copy.graph.outputs.includes(place)) copy.graph.outputs.push(place);
  const read = async (first: number) => {
    const outputs = await runProgram(copy, feeds(first));
    return wanted.map((value) => [...(outputs.get(exposed.places.get(value)!.name)!.data as Float32Array)]);
  };
  expect(await read(1)).toEqual([[-1, 2], [1, 2], [-1, -2], [1, 2], []]);
  const [a, h, i, p, q] = await read(0);
  expect([a, h, i, p]).toEqual([[-1, 2], [], [], []]);
  expect(q!.map((value) => value.toFixed(4))).toEqual([Math.exp(-1), Math.exp(2)].map((value) => value.toFixed(4)));
});

test('the program itself stays as it is', () => {
  const before = valueNamed('h').uses.length;
  exposeValues(program, [valueNamed('h')]);
  expect(valueNamed('h').uses).toHaveLength(before);
  expect(program.graph.outputs).toHaveLength(1);
});

test('values of loop bodies are hidden', () => {
  const looping = parseProgram(`program opset=13
graph main(x: float32[2]) -> (y) {
 n: int64[] = 3
 c: bool[] = true
 y = Loop(n, c, x, body=graph b(i: int64[], k: bool[], s: float32[2]) -> (k2, s2) {
   k2 = Identity(k)
   s2 = Neg(s)
 })
}`);
  const inner = [...graphsWithin(looping.graph)][1]!.nodes[1]!.outputs[0]!;
  expect(exposeValues(looping, [inner]).hidden).toEqual([inner]);
});
