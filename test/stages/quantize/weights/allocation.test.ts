import { describe, expect, test } from 'vitest';
import { bitsKey, groupSizeKey } from '../../../../src/ir/model.ts';
import { modelOf, packedOf, quantize } from './context.ts';

/** Three products; widths left on their nodes by an allocation. */
const allocated = (widths: Readonly<Record<string, readonly [bits: string, groupSize?: string]>>) => {
  const model = modelOf(`program opset=17 graph m(x: float32[2, 32]) -> (y) {
    a: float32[32, 32] = random(seed=1) b: float32[32, 32] = random(seed=2) c: float32[32, 64] = random(seed=3)
    p = MatMul(x, a) { name: "one" } q = MatMul(p, b) { name: "two" } y = MatMul(q, c) { name: "three" } }`);
  for (const node of model.program.graph.nodes) {
    const [bits, groupSize] = widths[node.name] ?? [];
    if (bits !== undefined) node.metadata.set(bitsKey, bits);
    if (groupSize !== undefined) node.metadata.set(groupSizeKey, groupSize);
  }
  return model;
};

const options = { method: 'rtn', weights: { bits: 'auto', group_size: 16 } };

describe('bits: auto', () => {
  test('takes width and group size from the nodes, keeps what has none, and tells the average', async () => {
    const { model, findings } = await quantize(allocated({ one: ['2'], two: ['4', 'row'], three: ['none'] }), options);
    const packed = [...packedOf(model)].map(([name, { facts }]) => [name, facts.bits, facts.groupSize]);
    expect(packed).toEqual([
      ['a', 2, 16],
      ['b', 4, 32],
    ]);
    expect(findings).toEqual([{ kind: 'fact', text: 'codes have 3.00 bits on average over 2048 weights' }]);
  });

  test('is refused where nothing is allocated, and where no code has the width', async () => {
    await expect(quantize(allocated({}), options)).rejects.toMatchObject({
      code: 'recipe',
      message: expect.stringContaining('sensitivity'),
    });
    await expect(quantize(allocated({ one: ['5'] }), options)).rejects.toMatchObject({
      code: 'recipe',
      message: 'the allocation of one is 5 bits',
    });
    await expect(quantize(allocated({ one: ['4', '7'] }), options)).rejects.toMatchObject({
      message: 'the allocation of one is groups of 7',
    });
  });
});
