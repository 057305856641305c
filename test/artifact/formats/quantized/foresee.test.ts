import { describe, expect, test } from 'vitest';
import { formats, type PlannedWeight } from '../../../../src/artifact/formats/index.ts';
import { parseTarget } from '../../../../src/artifact/formats/onnx/target/target.ts';

const foresee = (format: string, weight: Partial<PlannedWeight>, target?: string): string[] => {
  const whole = { site: 'layer', op: 'MatMul', rows: 64, columns: 64, bits: 4, groupSize: 32, ...weight };
  const card = formats.find(({ name }) => name === format)!;
  return (card.foresee?.([whole], target === undefined ? undefined : parseTarget(target)) ?? []).map(
    ({ text }) => text,
  );
};

describe('what a format cannot carry is known before anything runs', () => {
  test.each([
    ['gptq', {}, undefined],
    ['gptq', { bits: 5 }, /5 bits, GPTQ knows 2, 3, 4, 8/],
    ['gptq', { columns: 172 }, /64 outputs and 172 inputs do not fill words/],
    ['gptq', { rows: 30 }, /30 outputs/],
    ['gptq', { op: 'Gather' }, /only linear layers/],
    ['compressed-tensors', { bits: 5, columns: 160 }, undefined],
    ['compressed-tensors', { columns: 172, groupSize: 32 }, /groups of 32 do not divide its 172 inputs/],
    ['compressed-tensors', { columns: 172, groupSize: 172 }, undefined],
    ['onnx-matmulnbits', { bits: 3 }, undefined],
    ['onnx-matmulnbits', { op: 'Conv' }, /DequantizeLinear does/],
    ['huggingface', {}, /dequantized/],
    ['safetensors', {}, /dequantized/],
    ['onnx-qdq', { bits: 2 }, undefined],
  ] as const)('%s, %j: %s', (format, weight, wanted) => {
    const told = foresee(format, weight);
    if (wanted === undefined) expect(told).toEqual([]);
    else expect(told).toEqual([expect.stringMatching(wanted)]);
  });

  test('a target decides which block-wise operators there are', () => {
    expect(foresee('onnx-matmulnbits', { bits: 8 }, 'ort-web@1.22')).toEqual([
      expect.stringMatching(/ort-web@1\.22 has no/),
    ]);
    expect(foresee('onnx-matmulnbits', { bits: 8 }, 'ort-web@1.24')).toEqual([]);
  });
});
