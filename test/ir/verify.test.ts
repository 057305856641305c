import { describe, expect, it } from 'vitest';
import { type Graph, Node, type Program, Value } from '../../src/ir/graph.ts';
import { floatTensor } from '../../src/ir/read.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { verify } from '../../src/ir/verify.ts';

const sound = `program opset=21 com.microsoft=1
graph g(x: float32[n, 2], c: bool[]) -> (y, z) {
  w: float32[2, 2] = [[1, 2], [3, 4]]
  a = MatMul(x, w)
  y = com.microsoft::Gelu(a)
  z = If(c, then_branch=graph t() -> (p) { p = Neg(a) }, else_branch=graph e() -> (q) { q = local::F(a) })
}
function local::F(u) -> (v) opset=21 { v = Abs(u) }
`;

const messages = (change: (graph: Graph, program: Program) => void): string => {
  const program = parseProgram(sound);
  change(program.graph, program);
  return verify(program)
    .map((error) => `${error.message} @${error.where.node ?? ''}`)
    .join('\n');
};

describe('verify', () => {
  it('finds nothing in a sound program', () => {
    expect(messages(() => {})).toBe('');
  });

  it('finds values that are read before they are computed', () => {
    expect(messages((graph) => graph.nodes.reverse())).toMatch(/Gelu reads "a" before it is computed @y/);
  });

  it('finds values from nowhere, and from the body of another node', () => {
    expect(messages((graph) => graph.nodes[1]!.setInput(0, new Value('lost')))).toMatch(
      /Gelu reads "lost", which is not visible/,
    );
    const inner = messages((graph) => {
      const hidden = graph.nodes[2]!.subgraphs()[0]!.outputs[0]!;
      graph.insert(new Node({ op: 'Abs', inputs: [hidden], outputs: [new Value('out')] }));
    });
    expect(inner).toMatch(/Abs reads "p", which is not visible/);
  });

  it('finds names that two visible values share, across bodies too', () => {
    expect(messages((graph) => (graph.nodes[0]!.outputs[0]!.name = 'x'))).toMatch(/two visible values are named "x"/);
    expect(messages((graph) => (graph.nodes[2]!.subgraphs()[0]!.outputs[0]!.name = 'w'))).toMatch(/named "w"/);
    expect(messages((graph) => (graph.nodes[2]!.subgraphs()[0]!.outputs[0]!.name = 'q'))).toBe('');
  });

  it('finds initializers without content and with another type', () => {
    expect(messages((graph) => ([...graph.initializers][0]!.tensor = undefined))).toMatch(/"w" has no content/);
    expect(messages((graph) => ([...graph.initializers][0]!.tensor = floatTensor([3], [1, 2, 3])))).toMatch(
      /"w" is float32\[3\], its type says float32\[2, 2\]/,
    );
  });

  it('finds missing inputs', () => {
    expect(messages((graph) => graph.nodes[0]!.setInput(1, undefined))).toMatch(/MatMul needs its input 1 @a/);
    expect(
      messages((graph) => void graph.insert(new Node({ op: 'Relu', inputs: [], outputs: [new Value('r')] }))),
    ).toMatch(/Relu needs its input 0/);
  });

  it('finds operator sets that are not imported', () => {
    expect(messages((_, program) => program.opsets.delete('com.microsoft'))).toMatch(
      /Gelu comes from the operator set "com.microsoft", which the program does not import/,
    );
    expect(messages((_, program) => program.opsets.delete(''))).toMatch(/the standard operator set/);
  });

  it('finds outputs that nothing computes', () => {
    expect(messages((graph) => graph.outputs.push(new Value('nothing')))).toMatch(/the output "nothing" of graph "g"/);
  });

  it('finds bodies that give back a value of an enclosing graph', () => {
    const wrong = messages((graph) => graph.nodes[2]!.subgraphs()[0]!.outputs.splice(0, 1, graph.inputs[0]!));
    expect(wrong).toMatch(/the body "t" gives back "x" of an enclosing graph/);
  });

  it('looks into functions', () => {
    expect(messages((_, program) => program.functions[0]!.body.nodes[0]!.setInput(0, new Value('u2')))).toMatch(
      /Abs reads "u2"/,
    );
  });

  it('finds types that their operator contradicts', () => {
    const wrong = messages((graph) => {
      graph.nodes[0]!.outputs[0]!.type = { kind: 'tensor', dtype: 'float32', shape: ['n', 3] };
    });
    expect(wrong).toMatch(/"a" is float32\[n, 3\].*float32\[n, 2\] @a/);
  });
});
