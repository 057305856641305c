import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { CompressError } from '../../../errors.ts';
import type { Program } from '../../../ir/graph.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { allGraphs, constantOf } from '../../../ir/walk.ts';

/** What to do with a model that holds integers already. */
export const alreadyChoices = ['refuse', 'keep', 'again'] as const;
export type AlreadyChoice = (typeof alreadyChoices)[number];

/** Operators that compute with stored integers. A DequantizeLinear only does where it reads a constant. */
const integerOperators = new Set([
  'MatMulNBits',
  'MatMulBnb4',
  'GatherBlockQuantized',
  'QLinearMatMul',
  'QLinearConv',
  'QGemm',
  'MatMulInteger',
  'ConvInteger',
  'MatMulIntegerToFloat',
  'DynamicQuantizeMatMul',
  'DynamicQuantizeLSTM',
  'QMoE',
]);

/** Nodes of a program that hold quantized weights, by operator. */
const countIntegers = (program: Program): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const graph of allGraphs(program))
    for (const { op, inputs } of graph.nodes)
      if (integerOperators.has(op) || (op === 'DequantizeLinear' && constantOf(inputs[0])))
        counts.set(op, (counts.get(op) ?? 0) + 1);
  return counts;
};

export const isPacked = (site: Site): boolean => siteTensor(site) instanceof PackedTensor;

/**
 * Refuses a model that was quantized before, unless the recipe says what to do with it: rounding twice loses twice, and
 * seldom is what was meant. @throws CompressError 'recipe' that says what was found.
 */
export const expectUnquantized = (program: Program, chosen: readonly Site[], already: AlreadyChoice): void => {
  if (already !== 'refuse') return;
  const packed = chosen.filter(isPacked);
  const operators = [...countIntegers(program)].map(([op, count]) => `${count} ${op}`);
  const found = packed.length > 0 ? [...operators, `${packed.length} weights with integers`] : operators;
  if (found.length === 0) return;
  throw new CompressError({
    code: 'recipe',
    message: `the model is quantized already: ${found.join(', ')}`,
    ...(packed[0] ? { where: { site: packed[0].name } } : {}),
    hint: 'Start from the unquantized model. Or say already_quantized: keep (only weights that are still floating point) or again (round the integers’ values once more).',
  });
};
