import { expect, test } from 'vitest';
import { quantizedWeights } from '../../../src/artifact/describe/quantized.ts';
import { lowerCodebooks } from '../../../src/artifact/formats/onnx/lower/codebook.ts';
import { lowerToQdq } from '../../../src/artifact/formats/onnx/lower/qdq.ts';
import type { NumericArray } from '../../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { withSession } from '../../../src/execution/session.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import { CodebookTensor } from '../../../src/ir/codebook-tensor.ts';
import type { Program } from '../../../src/ir/graph.ts';
import type { MatrixLayout } from '../../../src/ir/matrix-layout.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { Random } from '../../../src/random.ts';

/** A weight of row tables whose entries half precision has. */
const tableWeight = (shape: readonly number[], layout: MatrixLayout, rows: number, columns: number, bits: number) => {
  const random = new Random(bits, 'codes');
  const entries = 2 ** bits;
  return new CodebookTensor({
    ...{ dtype: 'float32', shape, layout, rows, columns, entries, name: undefined, blockSize: 0 },
    table: Float32Array.from({ length: rows * entries }, () => random.integer(2048) / 256 - 4),
    codes: Uint8Array.from({ length: rows * columns }, () => random.integer(entries)),
    scales: new Float32Array(),
  });
};

const withWeight = (text: string, weight: CodebookTensor): Program => {
  const program = parseProgram(text);
  for (const value of program.graph.initializers) if (value.name === 'w') value.tensor = weight;
  return program;
};

const product = `program opset=13
graph g(x: float32[4, 7]) -> (y) {
  w: float32[7, 5] = random(seed=1)
  y: float32[4, 5] = MatMul(x, w)
}
`;

const convolution = `program opset=13
graph g(x: float32[1, 3, 5, 5]) -> (y) {
  w: float32[4, 3, 3, 3] = random(seed=1)
  y: float32[1, 4, 3, 3] = Conv(x, w)
}
`;

const outputOf = (program: Program, shape: readonly number[]): Promise<NumericArray['data']> =>
  withSession(onnxruntimeEngine, program, {}, async (session) => {
    const count = shape.reduce((total, dim) => total * dim, 1);
    const data = Float32Array.from(new Random(1, 'x').normals(count));
    const outputs = await session.run(new Map([['x', { dtype: 'float32', shape, data }]]));
    return outputs.get('y')!.data;
  });

test.each([2, 3, 4])('codes of %d bits and their tables give the numbers that the tensor stands for', async (bits) => {
  const program = withWeight(product, tableWeight([7, 5], 'rows-last', 5, 7, bits));
  const lowered = cloneProgram(program);
  expect(lowerCodebooks(lowered)).toEqual([{ weight: 'w', form: 'GatherElements', bits, blockSize: 7 }]);
  expect(await outputOf(lowered, [4, 7])).toEqual(await outputOf(program, [4, 7]));
  // 35 codes, packed, and 5 tables of half precision.
  const stored = [...lowered.graph.initializers].reduce((sum, { tensor }) => sum + tensor!.byteLength, 0);
  const codeBytes = bits === 3 ? Math.ceil((35 * 2) / 8) + Math.ceil(35 / 8) : Math.ceil((35 * bits) / 8);
  expect(stored).toBeGreaterThanOrEqual(codeBytes + 5 * 2 ** bits * 2);
  expect(stored).toBeLessThan(codeBytes + 5 * 2 ** bits * 2 + 160);
});

test('weights of convolutions get their shape back, through every ONNX format', async () => {
  const program = withWeight(convolution, tableWeight([4, 3, 3, 3], 'rows-first', 4, 27, 3));
  const lowered = cloneProgram(program);
  expect(lowerToQdq(lowered).weights).toHaveLength(1);
  expect(await outputOf(lowered, [1, 3, 5, 5])).toEqual(await outputOf(program, [1, 3, 5, 5]));
});

test('an older operator set is raised as far as the form needs it', async () => {
  const program = withWeight(product.replace('opset=13', 'opset=11'), tableWeight([7, 5], 'rows-last', 5, 7, 2));
  lowerCodebooks(program);
  expect(program.opsets.get('')).toBe(13);
});

test('a program without tables stays as it is', () => {
  const program = parseProgram(product.replace('opset=13', 'opset=11'));
  expect(lowerCodebooks(program)).toEqual([]);
  expect(program.opsets.get('')).toBe(11);
});

test('what is written is recognised as a weight of so many bits', () => {
  const program = withWeight(product, tableWeight([7, 5], 'rows-last', 5, 7, 3));
  lowerCodebooks(program);
  const [found, ...others] = quantizedWeights(program);
  expect(others).toEqual([]);
  expect(found!.weight).toMatchObject({ form: 'GatherElements', bits: 3, blockSize: 7, elements: 35 });
});
