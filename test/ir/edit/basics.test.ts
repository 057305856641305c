import { describe, expect, it } from 'vitest';
import { eliminateIdentity } from '../../../src/ir/edit/eliminate-identity.ts';
import { dropInitializerInputs } from '../../../src/ir/edit/interface.ts';
import { mergeConstants } from '../../../src/ir/edit/merge-constants.ts';
import { freshName } from '../../../src/ir/edit/names.ts';
import { any, constant, matchPattern, node, replaceMatch, scalarConstant } from '../../../src/ir/edit/pattern.ts';
import { removeDead } from '../../../src/ir/edit/remove-dead.ts';
import { inputOf, insertNode, outputOf, replaceAllUses, setConstant } from '../../../src/ir/edit/replace.ts';
import { type Graph, intAttribute, type Value } from '../../../src/ir/graph.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { floatTensor, readFloats } from '../../../src/ir/read.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { printProgram } from '../../../src/ir/text/print.ts';
import { verify } from '../../../src/ir/verify.ts';
import { expectSameOutputs } from './equivalence.ts';

const valueNamed = (graph: Graph, name: string): Value => {
  const all = [...graph.inputs, ...graph.initializers, ...graph.nodes.flatMap((found) => [...found.outputs])];
  return all.find((value) => value?.name === name)!;
};

describe('replaceAllUses', () => {
  const text = `program opset=21
graph g(x: float32[n, 2], c: bool[]) -> (y, z) {
  a = Relu(x)
  b = Abs(x)
  y = Neg(a)
  z = If(c, then_branch=graph t() -> (p) { p = Exp(a) }, else_branch=graph e() -> (a) { })
}
`;

  it('replaces uses in nodes, in bodies and as outputs of bodies', () => {
    const { graph } = parseProgram(text);
    replaceAllUses(valueNamed(graph, 'a'), valueNamed(graph, 'b'), { graph });
    const [thenBranch, elseBranch] = graph.nodes.find((found) => found.op === 'If')!.subgraphs();
    expect(valueNamed(graph, 'y').producer?.inputs[0]?.name).toBe('b');
    expect(thenBranch!.nodes[0]!.inputs[0]!.name).toBe('b');
    expect(elseBranch!.nodes[0]!.inputs[0]!.name).toBe('b');
    expect(elseBranch!.outputs[0]!.name).toBe('a');
    expect(valueNamed(graph, 'b').uses).toHaveLength(3);
  });

  it('lets the new value take over the name of an output', async () => {
    const { ops } = await expectSameOutputs(
      `program opset=21\ngraph g(x: float32[n]) -> (y) {\n  a = Relu(x)\n  y = Identity(a)\n}\n`,
      ({ graph }) => {
        const [relu, identity] = graph.nodes;
        replaceAllUses(outputOf(identity!), outputOf(relu!), { graph });
        graph.remove(identity!);
      },
    );
    expect(ops).toEqual(['Relu']);
  });

  it('keeps an output by an Identity where an input or a constant takes its place', async () => {
    const { ops } = await expectSameOutputs(
      `program opset=21\ngraph g(x: float32[n]) -> (y) {\n  y = Identity(x)\n}\n`,
      ({ graph }) => {
        const [identity] = graph.nodes;
        replaceAllUses(outputOf(identity!), graph.inputs[0]!, { graph });
        graph.remove(identity!);
      },
    );
    expect(ops).toEqual(['Identity']);
  });

  it('leaves the nodes that compute the new value from the old one alone', async () => {
    const { program } = await expectSameOutputs(
      `program opset=21\ngraph g(x: float32[n]) -> (y, z) {\n  a = Relu(x)\n  y = Exp(a)\n  z = Abs(a)\n}\n`,
      ({ graph }) => {
        const value = valueNamed(graph, 'a');
        const twice = insertNode(
          { op: 'Relu', inputs: [value], outputs: ['a'], name: 'again' },
          { graph, after: value.producer! },
        );
        replaceAllUses(value, outputOf(twice), { graph, except: [twice] });
      },
    );
    expect(program.graph.nodes.map((found) => [found.op, found.inputs[0]?.name])).toEqual([
      ['Relu', 'x'],
      ['Relu', 'a'],
      ['Exp', 'a_1'],
      ['Abs', 'a_1'],
    ]);
  });
});

describe('setConstant', () => {
  it('changes an initializer and a Constant node, with their types', () => {
    const program = parseProgram(
      'program opset=21\ngraph g(x: float32[2]) -> (y) {\n  w: float32[2] = [1, 2]\n  c = Constant(value_float=1.5)\n  a = Add(x, w)\n  y = Mul(a, c)\n}\n',
    );
    const { graph } = program;
    setConstant(valueNamed(graph, 'w'), floatTensor([1], [5]));
    setConstant(valueNamed(graph, 'c'), floatTensor([], [7]));
    expect(verify(program)).toEqual([]);
    expect(printProgram(program)).toContain('w: float32[1] = [5]');
    expect(printProgram(program)).toContain('c: float32[] = Constant(value=tensor(float32[], 7))');
    expect(() => setConstant(valueNamed(graph, 'a'), floatTensor([1], [5]))).toThrow(/no constant/);
  });
});

describe('names and places', () => {
  it('gives names that no value or node in reach has', () => {
    const { graph } = parseProgram(
      'program opset=21\ngraph g(x: float32[2], c: bool[]) -> (y) {\n  y = If(c, then_branch=graph t() -> (y_1) { y_1 = Neg(x) { name: "y_2" } }, else_branch=graph e() -> (q) { q = Abs(x) })\n}\n',
    );
    expect(freshName(graph, 'y')).toBe('y_3');
    expect(freshName(graph.nodes[0]!.subgraphs()[1]!, 'y')).toBe('y_3');
    expect(freshName(graph, 'free')).toBe('free');
    expect(inputOf(graph.nodes[0]!, 0).name).toBe('c');
    expect(() => inputOf(graph.nodes[0]!, 1)).toThrow(/no input 1/);
  });
});

describe('removeDead', () => {
  it('keeps exactly what reaches an output, through bodies too', async () => {
    const { program, result } = await expectSameOutputs(
      `program opset=21
graph g(x: float32[n, 2], c: bool[]) -> (z) {
  w: float32[2] = [1, 2]
  unread: float32[2] = [3, 4]
  dead1 = Neg(x)
  dead2 = Abs(dead1)
  used = Add(x, w)
  z = If(c, then_branch=graph t() -> (p) {
    inner: float32[1] = [1]
    lost = Mul(x, inner)
    p = Exp(used)
  }, else_branch=graph e() -> (q) { q = Identity(used) })
}
`,
      removeDead,
    );
    expect(result).toEqual({ nodes: 3, initializers: 2 });
    expect(program.graph.nodes.map((found) => found.op)).toEqual(['Add', 'If']);
    expect([...program.graph.initializers].map((value) => value.name)).toEqual(['w']);
  });
});

describe('eliminateIdentity', () => {
  it('removes what changes nothing and keeps what names an output', async () => {
    const { ops, result } = await expectSameOutputs(
      `program opset=21
graph g(x: float32[2, 3]) -> (y, z, k) {
  a = Identity(x)
  b = Dropout(a)
  c = Cast(b, to=1)
  d = Transpose(c, perm=[0, 1])
  e = Concat(d, axis=1)
  t: int64[2] = [2, -1]
  f = Reshape(e, t)
  g = Transpose(f, perm=[1, 0])
  h = Cast(g, to=11)
  y = Identity(h)
  z = Identity(x)
  k = Identity(h)
}
`,
      (program) => {
        inferShapes(program);
        return eliminateIdentity(program);
      },
    );
    expect(ops).toEqual(['Transpose', 'Cast', 'Identity', 'Identity']);
    expect(result).toBe(7);
  });
});

describe('mergeConstants', () => {
  it('keeps one of identical constants', async () => {
    const { program, result } = await expectSameOutputs(
      `program opset=21
graph g(x: float32[n, 2]) -> (y) {
  a: float32[2] = [1, 2]
  b: float32[2] = [1, 2]
  c: float32[1, 2] = [[1, 2]]
  d = Constant(value=tensor(float32[2], [1, 2]))
  e = Add(x, a)
  f = Mul(e, b)
  h = Sub(f, d)
  y = Div(h, c)
}
`,
      (edited) => mergeConstants(edited),
    );
    expect(result).toBe(2);
    expect([...program.graph.initializers].map((value) => value.name)).toEqual(['a', 'c']);
  });
});

describe('dropInitializerInputs', () => {
  it('makes initializers plain constants', () => {
    const program = parseProgram(
      'program opset=8 ir=3\ngraph g(x: float32[2], w: float32[2]) -> (y) {\n  w: float32[2] = [1, 2]\n  y = Add(x, w)\n}\n',
    );
    dropInitializerInputs(program);
    expect(program.graph.inputs.map((value) => value.name)).toEqual(['x']);
    expect(program.irVersion).toBe(4);
    expect(verify(program)).toEqual([]);
  });
});

describe('patterns', () => {
  const text = `program opset=21
graph g(x: float32[n, 4]) -> (y) {
  gain: float32[4] = [1, 2, 3, 4]
  two: float32[] = 2
  tiny: float32[1] = [0.001]
  last: int64[1] = [-1]
  squares = Pow(x, two)
  mean = ReduceMean(squares, last)
  safe = Add(tiny, mean)
  root = Sqrt(safe)
  normal = Div(x, root)
  y = Mul(normal, gain)
}
`;
  const rootMeanSquare = node('Mul', [
    any('gain'),
    node('Div', [
      any('x'),
      node('Sqrt', [
        node('Add', [
          node('ReduceMean', [node('Pow', [any('x'), scalarConstant('power')]), constant('axes')], { name: 'mean' }),
          scalarConstant('epsilon'),
        ]),
      ]),
    ]),
  ]);

  it('finds a subgraph, its values and its constants, in either order of sums and products', () => {
    const { graph } = parseProgram(text);
    const match = matchPattern(rootMeanSquare, graph.nodes.at(-1)!);
    expect(match?.nodes.map((found) => found.op)).toEqual(['Mul', 'Div', 'Sqrt', 'Add', 'ReduceMean', 'Pow']);
    expect(match?.values.get('x')?.name).toBe('x');
    expect(match?.scalar('epsilon')).toBe(Math.fround(0.001));
    expect(readFloats(match!.values.get('gain')!.tensor!)).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(match?.named.get('mean')?.op).toBe('ReduceMean');
  });

  it.each([
    ['another value', text.replace('Div(x, root)', 'Div(gain, root)')],
    ['another operator', text.replace('Sqrt', 'Exp')],
    ['a computed constant', text.replace('Add(tiny, mean)', 'Add(squares, mean)')],
    ['a value that is read elsewhere', text.replace('-> (y)', '-> (y, root)')],
  ])('does not match %s', (_, changed) => {
    expect(matchPattern(rootMeanSquare, parseProgram(changed).graph.nodes.at(-1)!)).toBeUndefined();
  });

  it('a match can be replaced as a whole', async () => {
    const { ops } = await expectSameOutputs(
      text.replace('opset=21', 'opset=23'),
      ({ graph }) => {
        const match = matchPattern(rootMeanSquare, graph.nodes.at(-1)!)!;
        replaceMatch(match, {
          op: 'RMSNormalization',
          inputs: [match.values.get('x'), match.values.get('gain')],
          attributes: { axis: intAttribute(-1), epsilon: { kind: 'float', value: match.scalar('epsilon') } },
        });
      },
      { tolerance: 1e-5 },
    );
    expect(ops).toEqual(['RMSNormalization']);
  });
});
