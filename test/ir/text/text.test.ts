import { describe, expect, it } from 'vitest';
import { CompressError } from '../../../src/errors.ts';
import { roleKey } from '../../../src/ir/model.ts';
import { PackedTensor } from '../../../src/ir/packed-tensor.ts';
import { readFloats, readInts, readStrings } from '../../../src/ir/read.ts';
import type { Tensor } from '../../../src/ir/tensor.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { printProgram } from '../../../src/ir/text/print.ts';

const canonical = `program opset=21 com.microsoft=1 ir=11 { producer: "someone", "a key": "a value" }
graph main(x: float32[batch, 4], state: float16[2, 2*batch+1, ?], cond: bool[], any: ?, list: sequence<float32[?]>) -> (y, z, w) {
  w: float32[4, 2] = [[1, 0.1], [-3e-7, nan], [inf, -inf], [16777216, 0.33333334]]
  big: float32[64, 64] = random(seed=1, scale=0.1)
  codes: int4[3] = [-8, 7, 0]
  half: bfloat16[2] = [0.1, 3.14]
  limit: int64[2] = [9223372036854775807, -9223372036854775808]
  flags: bool[2] = [true, false]
  words: string[2] = ["a\\"b", ""]
  none: float32[0, 3] = []
  one: float64[] = 0.1
  q: float32[8, 4] = packed(bits=4, group_size=2, layout="rows-last", zero_points=true, method="gptq", seed=3)
  y: float32[batch, 2] = MatMul(x, w) { name: "act 1", role: "up", block: "3", other: "text" }
  "odd name", _, c = LSTM(y, big, big, _, _, state, hidden_size=2, activations=["Tanh", "Relu"], clip=1.0, alpha=[0.1, 2.0], empty=ints[])
  z = If(cond, then_branch=graph a() -> (p) {
    p = Neg(y)
  }, else_branch=graph b() -> (r) {
    inner: float32[1] = [2]
    r = com.microsoft::Scaled(y, inner, mode="fast", value=tensor(int64[2], [1, 2]), raw=hex "ff00", kind=type(optional<float32[2]>))
  })
}
function local::Twice(a, b) -> (s) opset=21 overload="x" attributes(alpha) {
  s = Scale(a, b, by=@alpha)
}
`;

describe('programs as text', () => {
  it('printing what was parsed gives the canonical text back', () => {
    expect(printProgram(parseProgram(canonical))).toBe(canonical);
  });

  it('reads constants exactly', () => {
    const { graph } = parseProgram(canonical);
    const tensor = (name: string): Tensor => [...graph.initializers].find((value) => value.name === name)!.tensor!;
    expect(readFloats(tensor('w'))).toEqual(
      Float32Array.of(1, 0.1, -3e-7, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 24, 1 / 3),
    );
    expect(readInts(tensor('codes'))).toEqual([-8, 7, 0]);
    expect([...tensor('codes').bytes()]).toEqual([0x78, 0x00]);
    expect(readStrings(tensor('words'))).toEqual(['a"b', '']);
    expect(new BigInt64Array(Uint8Array.from(tensor('limit').bytes()).buffer)).toEqual(
      BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n)),
    );
    expect(tensor('none').shape).toEqual([0, 3]);
    expect(tensor('q')).toBeInstanceOf(PackedTensor);
    expect(readFloats(tensor('big'))).toEqual(readFloats(parseTensor('float32[64, 64] = random(seed=1, scale=0.1)')));
  });

  it('connects values, subgraphs and metadata', () => {
    const { graph, functions, opsets } = parseProgram(canonical);
    const [matmul, lstm, branch] = graph.nodes;
    expect(matmul!.metadata.get(roleKey)).toBe('up');
    expect(lstm!.inputs[0]).toBe(matmul!.outputs[0]);
    expect(lstm!.inputs[3]).toBeUndefined();
    expect(branch!.subgraphs().map((body) => body.parent)).toEqual([graph, graph]);
    expect(branch!.subgraphs()[0]!.nodes[0]!.inputs[0]).toBe(matmul!.outputs[0]);
    expect(matmul!.attributes.size + lstm!.int('hidden_size', 0)).toBe(2);
    expect(lstm!.float('clip')).toBe(1);
    expect(functions[0]!.domain).toBe('local');
    expect(opsets).toEqual(
      new Map([
        ['', 21],
        ['com.microsoft', 1],
      ]),
    );
  });

  it('infers the shape of a constant from its literal', () => {
    expect(parseTensor('float32 = [[1, 2], [3, 4]]').shape).toEqual([2, 2]);
    expect(parseTensor('int64 = 7').shape).toEqual([]);
  });

  it('writes large constants as placeholders that stay the same', () => {
    const text = printProgram(parseProgram(wrap('c: float32[3] = [1, 2, 3]')), { inlineElements: 2 });
    expect(text).toContain('c: float32[3] = placeholder(seed=');
    expect(printProgram(parseProgram(text))).toBe(text);
  });

  it.each([
    ['program opset=21\ngraph g() -> (y) {\n  y = Neg(x)\n}', 3, 11, /"x" is not defined/],
    ['program opset=21\ngraph g(x) -> (y) {\n}', 2, 16, /"y" is computed nowhere/],
    ['program opset=21\ngraph g(x) -> (x) {\n  x = Neg(x)\n}', 3, 3, /"x" is defined twice/],
    ['program opset=21\ngraph g(x: floot[2]) -> (x) {}', 2, 12, /"floot" is no element type/],
    [wrap('c: float32[3] = [1, 2]'), 3, 19, /shape \[2\], the type says \[3\]/],
    [wrap('c: float32 = [[1], [2, 3]]'), 3, 22, /shape \[2\], those before it \[1\]/],
    [wrap('c: int8 = [1.5]'), 3, 13, /integers/],
    [wrap('c: float32[2] = rundom(seed=1)'), 3, 19, /no fill rule/],
    [wrap('c: float32[2] = random(sed=1)'), 3, 19, /needs the number seed/],
    [wrap('c = Neg(x, axes=[])'), 3, 19, /empty list/],
    [wrap('c = Neg(x'), 4, 1, /expected "\)"/],
    ['graph g() -> () {}', 1, 1, /expected "program"/],
  ])('says where and what is wrong: %j', (text, line, column, message) => {
    const error = ((): unknown => {
      try {
        return parseProgram(text, { file: 'a.txt' });
      } catch (caught) {
        return caught;
      }
    })();
    expect(error).toBeInstanceOf(CompressError);
    expect((error as CompressError).message).toMatch(message);
    expect((error as CompressError).where).toEqual({ file: 'a.txt', line, column });
  });
});

function wrap(statement: string): string {
  return `program opset=21\ngraph g(x) -> (x) {\n  ${statement}\n}\n`;
}

const parseTensor = (text: string): Tensor => [...parseProgram(wrap(`c: ${text}`)).graph.initializers][0]!.tensor!;
