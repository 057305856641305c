import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readOnnx } from '../../../../src/artifact/formats/onnx/read.ts';
import { writeOnnx } from '../../../../src/artifact/formats/onnx/write.ts';
import type { CompressError } from '../../../../src/errors.ts';
import { matrixOfArray } from '../../../../src/ir/matrix-layout.ts';
import { floatTensor, readFloats } from '../../../../src/ir/read.ts';
import { elementCount } from '../../../../src/ir/shape.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { constantOf } from '../../../../src/ir/walk.ts';
import { quantizeStage } from '../../../../src/stages/quantize/index.ts';
import { modelOf, packedOf, quantize } from './context.ts';

const rtn = (weights: object, rest: object = {}): object => ({ method: 'rtn', weights, ...rest });

const everyOperator = `program opset=17 graph m(i: int64[5, 1], x: float32[1, 4, 8, 8]) -> (e, g, c, t, r) {
  table: float32[20, 24] = random(seed=1)
  product: float32[24, 16] = random(seed=2)
  dense: float32[12, 16] = random(seed=3)
  filter: float32[6, 2, 3, 3] = random(seed=4)
  up: float32[4, 5, 2, 2] = random(seed=5)
  w: float32[1, 32, 24] = random(seed=6)
  u: float32[1, 32, 8] = random(seed=7)
  e = Gather(table, i) { name: "embed" }
  p = MatMul(e, product) { name: "matmul" }
  flat = Flatten(p, axis=2)
  g = Gemm(flat, dense, transB=1) { name: "gemm" }
  c = Conv(x, filter, group=2) { name: "conv" }
  t = ConvTranspose(x, up) { name: "convtranspose" }
  _, r = LSTM(e, w, u, hidden_size=8) { name: "lstm" }
}`;

const bytesDiffer = (a: Uint8Array | Float32Array, b: Uint8Array | Float32Array): boolean =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset, a.byteLength),
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  ) !== 0;

describe('rounding to nearest', () => {
  test.each([
    { bits: 8, group_size: 16 },
    { bits: 4, group_size: 16 },
    { bits: 4, group_size: 'row' },
    { bits: 3, group_size: 16 },
    { bits: 2, group_size: 16 },
    { bits: 8, group_size: 'row', sym: 'narrow' },
  ])('is within half a step for weights of every operator (%j)', async (weights) => {
    const model = modelOf(everyOperator);
    const { model: rounded } = await quantize(model, rtn(weights));
    const packed = packedOf(rounded);
    expect([...packed.keys()].sort()).toEqual(['dense', 'filter', 'product', 'table', 'u', 'up', 'w']);
    for (const value of model.program.graph.initializers) {
      const tensor = packed.get(value.name)!;
      const { facts } = tensor;
      const original = matrixOfArray(readFloats(constantOf(value)!), facts.shape, facts.layout);
      const now = tensor.matrix();
      const groups = Math.ceil(facts.columns / facts.groupSize);
      const steps = original.map((weight, index) => {
        const row = Math.floor(index / facts.columns);
        const group = Math.floor((index % facts.columns) / facts.groupSize);
        return Math.abs((weight - now[index]!) / facts.scales[row * groups + group]!);
      });
      expect(Math.max(...steps), value.name).toBeLessThan(0.5001);
      expect(facts.method).toBe('rtn');
    }
  });

  test('leaves the model that it was given as it was', async () => {
    const model = modelOf(everyOperator);
    await quantize(model, rtn({ bits: 4 }));
    expect(packedOf(model).size).toBe(0);
  });

  test('takes targets, leaves what is ignored, and lets the first override win', async () => {
    const { model, findings } = await quantize(
      modelOf(everyOperator),
      rtn(
        { bits: 4, group_size: 16 },
        {
          targets: ['re:^(embed|matmul|gemm|conv)$', 'lsmt'],
          ignore: ['op:Gather'],
          overrides: [
            { match: 'gemm', weights: 'none' },
            { match: 'op:Conv', weights: { bits: 8 } },
            { match: 'conv', weights: { bits: 2 } },
          ],
        },
      ),
    );
    const packed = packedOf(model);
    expect([...packed].map(([name, { facts }]) => [name, facts.bits])).toEqual([
      ['product', 4],
      ['filter', 8],
    ]);
    expect(findings.map(({ kind, text }) => [kind, text])).toEqual([
      ['warning', expect.stringMatching(/^targets "lsmt" matches nothing; the nearest names are lstm#0, /)],
      ['fact', 'codes have 4.88 bits on average over 492 weights'],
    ]);
  });

  test('rounds a tied constant once, and leaves it out when its sites ask for different things', async () => {
    const tied = `program opset=17 graph m(i: int64[2]) -> (y) { w: float32[32, 16] = random(seed=1)
      h = Gather(w, i) { name: "embed" } t = Transpose(w) y = MatMul(h, t) { name: "head" } }`;
    const { model, events } = await quantize(modelOf(tied), rtn({ bits: 4, group_size: 16 }));
    expect(packedOf(model).size).toBe(1);
    expect(events.filter(({ type }) => type === 'site-finished')).toHaveLength(1);
    const wishes = [{ ignore: ['head'] }, { overrides: [{ match: 'head', weights: { bits: 8 } }] }];
    for (const wish of wishes) {
      const { model: left, findings } = await quantize(modelOf(tied), rtn({ bits: 4, group_size: 16 }, wish));
      expect(packedOf(left).size).toBe(0);
      expect(findings.map(({ kind }) => kind)).toEqual(['fallback']);
    }
  });

  test('reaches into the bodies of control flow', async () => {
    const program = `program opset=17 graph m(c: bool[], x: float32[3, 16]) -> (y) {
      y = If(c, then_branch=graph a() -> (p) { v = Constant(value=tensor(float32[16, 8], ${JSON.stringify(
        Array.from({ length: 16 }, (_, row) => Array.from({ length: 8 }, (_, column) => row - column)),
      )})) p = MatMul(x, v) { name: "then" } },
        else_branch=graph b() -> (q) { w: float32[16, 8] = random(seed=2) q = MatMul(x, w) { name: "else" } }) }`;
    const { model } = await quantize(modelOf(program), rtn({ bits: 4, group_size: 16 }));
    expect([...packedOf(model).keys()].sort()).toEqual(['v', 'w']);
  });

  test('keeps weights of zeros exactly', async () => {
    const program = 'program opset=17 graph m(x: float32[1, 32]) -> (y) { w: float32[32, 8] = zeros y = MatMul(x, w) }';
    for (const sym of [false, true, 'narrow']) {
      const { model } = await quantize(modelOf(program), rtn({ bits: 4, sym }));
      expect([...packedOf(model).values()][0]!.matrix().every((weight) => Object.is(Math.abs(weight), 0))).toBe(true);
    }
  });

  test.each([
    ['x: float32[1, 32]', 'w: float32[32, 8] = random(seed=1) y = MatMul(x, w)', [5, 3], 5 * 8 + 3],
    ['x: float32[1, 32]', 'w: float32[8, 32] = random(seed=1) y = Gemm(x, w, transB=1)', [3, 5], 3 * 32 + 5],
    ['x: float32[1, 4, 5, 5]', 'w: float32[8, 4, 3, 3] = random(seed=1) y = Conv(x, w)', [1, 2, 1, 2], 36 + 18 + 5],
    [
      'x: float32[1, 4, 5, 5]',
      'w: float32[4, 8, 3, 3] = random(seed=1) y = ConvTranspose(x, w)',
      [1, 2, 1, 2],
      72 + 18 + 5,
    ],
  ])('names the tensor and the element that is no number (%s, %s)', async (input, body, element, at) => {
    const program = parseProgram(`program opset=17 graph m(${input}) -> (y) { ${body} }`);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const weight = [...program.graph.initializers][0]!;
      new Float32Array(weight.tensor!.bytes().buffer)[at] = bad;
      await expect(quantize(modelOf(program), rtn({ bits: 4 }))).rejects.toThrow(
        expect.objectContaining<Partial<CompressError>>({
          code: 'numeric',
          message: `element [${element.join(', ')}] is ${bad}`,
          where: expect.objectContaining({ tensor: 'w', site: expect.any(String) }),
        }),
      );
    }
  });

  test('stops when it is told to', async () => {
    const signal = AbortSignal.abort();
    await expect(quantize(modelOf(everyOperator), rtn({ bits: 4 }), { signal })).rejects.toThrow(
      expect.objectContaining<Partial<CompressError>>({ code: 'interrupted' }),
    );
  });

  test('gives the same integers from a file in pieces as from memory', async () => {
    const large = `program opset=17 graph m(x: float32[1, 1040], z: float32[1, 1000]) -> (y, v) {
      rows_last: float32[1040, 1500] = zeros y = MatMul(x, rows_last)
      rows_first: float32[1500, 1000] = zeros v = Gemm(z, rows_first, transB=1) }`;
    const folder = mkdtempSync(join(tmpdir(), 'modelpress-test-'));
    try {
      const program = parseProgram(large);
      for (const value of program.graph.initializers) {
        const { shape } = value.tensor!;
        const weights = new Float32Array(elementCount(shape));
        for (let index = 0; index < weights.length; index++) weights[index] = ((index * 7919) % 1009) / 1009 - 0.4;
        value.tensor = floatTensor(shape, weights);
      }
      await writeOnnx(program, join(folder, 'model.onnx'), { externalData: { thresholdBytes: 1024 } });
      for (const weights of [
        { bits: 4, group_size: 32 },
        { bits: 2, group_size: 48 },
        { bits: 8, group_size: 'row' },
      ]) {
        const inMemory = packedOf((await quantize(modelOf(program), rtn(weights))).model);
        const fromFile = packedOf((await quantize(modelOf(readOnnx(join(folder, 'model.onnx'))), rtn(weights))).model);
        for (const [name, { facts }] of inMemory) {
          const other = fromFile.get(name)!.facts;
          expect(bytesDiffer(facts.codes, other.codes), name).toBe(false);
          expect(bytesDiffer(facts.scales, other.scales), name).toBe(false);
          expect(bytesDiffer(facts.zeroPoints!, other.zeroPoints!), name).toBe(false);
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the plan', () => {
  const plan = (options: object): ReturnType<typeof quantizeStage.plan> =>
    quantizeStage.plan(modelOf(everyOperator), quantizeStage.options.parse(options));

  test('says for every site what happens to it, and predicts the bytes that come out', async () => {
    const options = rtn({ bits: 4, group_size: 16 }, { ignore: ['gemm'] });
    const { sites, memoryBytes } = plan(options);
    expect(sites.map(({ site, action, reason }) => [site, action, reason])).toEqual([
      ['embed', 'int4 g16 asymmetric rtn', undefined],
      ['matmul', 'int4 g16 asymmetric rtn', undefined],
      ['gemm', 'kept', 'ignored by "gemm"'],
      ['conv', 'int4 g16 asymmetric rtn', undefined],
      ['convtranspose', 'int4 g16 asymmetric rtn', undefined],
      ['lstm#0', 'int4 g16 asymmetric rtn', undefined],
      ['lstm#1', 'int4 g16 asymmetric rtn', undefined],
    ]);
    const { model } = await quantize(modelOf(everyOperator), options);
    for (const { facts } of packedOf(model).values()) {
      const zeroPoints =
        facts.rows * Math.ceil(((facts.zeroPoints?.length ?? 0) / facts.rows) * (facts.storedBits / 8));
      const bytes = facts.codes.length + facts.scales.byteLength + zeroPoints;
      expect(
        sites.some(
          ({ rows, columns, bytesAfter }) => rows === facts.rows && columns === facts.columns && bytesAfter === bytes,
        ),
      ).toBe(true);
    }
    expect(memoryBytes).toBeGreaterThan(0);
  });

  test('warns of groups that MatMulNBits cannot carry', () => {
    const texts = plan(rtn({ bits: 4, group_size: 20 })).findings.map(({ text }) => text);
    expect(texts).toEqual([expect.stringMatching(/^int4 g20 .*DequantizeLinear carries them$/)]);
    expect(plan(rtn({ bits: 4, group_size: 48 })).findings).toEqual([]);
  });

  test('knows which requests need data', () => {
    const needs = (options: object): boolean => quantizeStage.needsCalibration(quantizeStage.options.parse(options));
    expect(needs({})).toBe(false);
    expect(needs({ method: 'rtn' })).toBe(false);
    expect(needs({ method: 'gptq' })).toBe(true);
    expect(needs({ method: 'rtn', weights: { clip: 'hessian' } })).toBe(true);
    expect(needs({ overrides: [{ match: '*', method: 'gptq' }] })).toBe(true);
    expect(needs({ activations: 'static' })).toBe(true);
    expect(needs({ precision: 'float16' })).toBe(false);
  });
});
