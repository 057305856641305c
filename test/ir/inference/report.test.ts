import { describe, expect, it } from 'vitest';
import type { Program } from '../../../src/ir/graph.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { printType } from '../../../src/ir/text/types.ts';

const graph = (text: string, header = '(x: float32[batch, 4]) -> (y)'): Program =>
  parseProgram(`program opset=21\ngraph g${header} {\n${text}\n}\n`);

const typeOf = (program: Program, name: string): string => {
  const value = program.graph.nodes.flatMap((node) => [...node.outputs]).find((output) => output?.name === name);
  return value?.type ? printType(value.type) : '-';
};

describe('the report of inference', () => {
  it('names operators without a rule and the nodes that use them, and goes on behind them', () => {
    const program = graph(
      'a = Frobnicate(x) { name: "first" }\nb = my.domain::Frob(a)\nc: float32[3] = Frob2(b)\ny = Neg(c)',
    );
    const report = inferShapes(program);
    expect(report.unknownOperators).toEqual([
      { domain: '', op: 'Frobnicate', nodes: ['first'] },
      { domain: 'my.domain', op: 'Frob', nodes: ['b'] },
      { domain: '', op: 'Frob2', nodes: ['c'] },
    ]);
    expect(typeOf(program, 'a')).toBe('-');
    expect(typeOf(program, 'y')).toBe('float32[3]');
  });

  it('reports shapes that do not go together, with the node and both shapes', () => {
    const report = inferShapes(graph('w: float32[5, 2] = zeros\ny = MatMul(x, w) { name: "product" }'));
    expect(report.problems).toHaveLength(1);
    expect(report.problems[0]).toMatchObject({ code: 'mismatch', where: { node: 'product' } });
    expect(report.problems[0]?.message).toMatch(/\[batch, 4\] and \[5, 2\].*4 and 5 differ/);
  });

  it.each([
    ['w: float32[3] = zeros\ny = Add(x, w)', /\[batch, 4\] and \[3\] cannot be broadcast/],
    ['w: int64[4] = zeros\ny = Add(x, w)', /element types float32 and int64/],
    ['t: int64[2] = [3, 5]\nz: float32[4, 4] = zeros\ny = Reshape(z, t)', /\[4, 4\] cannot be reshaped to \[3, 5\]/],
    ['t: int64[2] = [3, -1]\nz: float32[4, 4] = zeros\ny = Reshape(z, t)', /cannot be reshaped/],
    ['y = Transpose(x, perm=[0, 0])', /does not permute/],
    ['a: int64[1] = [2]\ny = ReduceSum(x, a)', /axis 2 lies outside rank 2/],
    ['y = Concat(x, z, axis=0)\n', /is not defined|axis 1/],
    ['z: float32[1, 4, 3, 3] = zeros\nw: float32[2, 3, 1, 1] = zeros\ny = Conv(z, w)', /4 channels/],
    ['z: float32[1, 3, 2, 2] = zeros\nw: float32[2, 3, 3, 3] = zeros\ny = Conv(z, w)', /does not fit axis 2/],
    ['a, y = Split(x, axis=1, num_outputs=2)\nb: float32[3, 3] = zeros\nc = MatMul(a, b)', /2 and 3 differ/],
    ['y = If(x)', /then_branch is missing/],
    ['y = Cast(x, to=99)', /element type 99/],
  ])('finds the problem of %j', (text, message) => {
    let messages: string[];
    try {
      messages = inferShapes(graph(text)).problems.map((problem) => problem.message);
    } catch (error) {
      messages = [(error as Error).message];
    }
    expect(messages.join('\n')).toMatch(message);
  });

  it('reports a stated type that its operator contradicts, with both types', () => {
    const program = graph('y: float32[batch, 5] = Neg(x)');
    const [contradiction] = inferShapes(program).contradictions;
    expect(contradiction).toMatchObject({ where: { tensor: 'y', node: 'y' } });
    expect(contradiction?.message).toMatch(/float32\[batch, 5\].*float32\[batch, 4\]/);
    const relaxed = graph('y: float32[batch, 5] = Neg(x)');
    expect(inferShapes(relaxed, { statedTypes: 'replace' }).contradictions).toEqual([]);
    expect(typeOf(relaxed, 'y')).toBe('float32[batch, 4]');
  });

  it('takes from the file what inference cannot know, and keeps the names of output dimensions', () => {
    const program = graph('a: int64[2, found] = NonZero(x)\nb = Transpose(a)\ny: int64[hits, 2] = Neg(b)');
    expect(inferShapes(program).contradictions).toEqual([]);
    expect(typeOf(program, 'b')).toBe('int64[found, 2]');
    expect(typeOf(program, 'y')).toBe('int64[hits, 2]');
  });

  it('gives unnamed dimensions of inputs a name', () => {
    const program = graph('y = Concat(x, x, axis=0)', '(x: float32[?, 4]) -> (y)');
    inferShapes(program);
    expect(typeOf(program, 'y')).toBe('float32[2*x_dim_0, 4]');
  });

  it('infers for given input shapes, and refuses shapes that do not fit', () => {
    const program = graph('y: float32[batch, 4] = Neg(x)');
    inferShapes(program, { inputShapes: new Map([['x', [7, 4]]]) });
    expect(typeOf(program, 'y')).toBe('float32[7, 4]');
    expect(() => inferShapes(program, { inputShapes: new Map([['x', [7, 5]]]) })).toThrow(/\[7, 5\] does not fit/);
    expect(() => inferShapes(program, { inputShapes: new Map([['z', [1]]]) })).toThrow(/no input/);
  });

  it('reports functions that call each other without end', () => {
    const program = parseProgram(
      'program opset=21 local=1\ngraph g(x: float32[2]) -> (y) { y = local::F(x) }\nfunction local::F(a) -> (b) local=1 { b = local::F(a) }',
    );
    expect(
      inferShapes(program)
        .problems.map((problem) => problem.message)
        .join(),
    ).toMatch(/without end/);
  });
});
